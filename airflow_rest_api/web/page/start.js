// All addresses are relative, so that the page works behind every prefix; nothing is loaded from elsewhere.

// Swagger UI fills a form with every example, also of filters that nobody asked for, and the list comes out empty:
// on this page optional parameters have none.
const forget = (parameters) =>
  Object.values(parameters || {}).forEach((entry) => {
    if (entry.in === "query" && !entry.required) delete entry.example;
  });

const withoutOptionalExamples = (contract) => {
  forget((contract.components || {}).parameters);
  Object.values(contract.paths || {}).forEach((item) => {
    forget(item.parameters);
    Object.values(item).forEach((operation) => forget(operation.parameters));
  });
  return contract;
};

const EmptyForms = () => ({
  statePlugins: {
    spec: { wrapActions: { updateJsonSpec: (update) => (contract) => update(withoutOptionalExamples(contract)) } },
  },
});

window.onload = () => {
  window.ui = SwaggerUIBundle({
    urls: [
      { name: "airflow-rest-api v1", url: "../openapi.json" },
      { name: "Calls of the old plugins", url: "../legacy.json" },
    ],
    dom_id: "#swagger-ui",
    deepLinking: true,
    displayRequestDuration: true,
    docExpansion: "none",
    filter: true,
    plugins: [EmptyForms],
    presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
    layout: "StandaloneLayout",
    queryConfigEnabled: false,
    validatorUrl: null,
  });
};
