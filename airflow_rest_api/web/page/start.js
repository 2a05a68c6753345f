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

// Swagger UI sends a field that nobody filled in as an empty one, and a flag of an old call is on as soon as it is sent.
const filled = (fields, into) => {
  fields.forEach((value, name) => {
    if (value !== "") into.append(name, value);
  });
  return into;
};

const withoutEmptyFields = (request) => {
  if (request.body instanceof FormData) {
    request.body = filled(request.body, new FormData());
  } else if ((request.headers?.["Content-Type"] || "").startsWith("application/x-www-form-urlencoded")) {
    request.body = filled(new URLSearchParams(request.body), new URLSearchParams()).toString();
  }
  return request;
};

const VERSION_1 = "airflow-rest-api v1";
const OLD_CALLS = "Calls of the old plugins";

window.onload = () => {
  window.ui = SwaggerUIBundle({
    urls: [
      { name: VERSION_1, url: "../openapi.json" },
      { name: OLD_CALLS, url: "../legacy.json" },
    ],
    // Where Clairvoyant's page was, its calls come first.
    "urls.primaryName": window.location.pathname.includes("/admin/rest_api/") ? OLD_CALLS : VERSION_1,
    dom_id: "#swagger-ui",
    deepLinking: true,
    displayRequestDuration: true,
    docExpansion: "none",
    filter: true,
    plugins: [EmptyForms],
    requestInterceptor: withoutEmptyFields,
    presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
    layout: "StandaloneLayout",
    queryConfigEnabled: false,
    validatorUrl: null,
  });
};
