// All addresses are relative, so that the page works behind every prefix; nothing is loaded from elsewhere.

// Swagger UI fills in every default and the first example of a body, and sends them. On this page a field that the user
// leaves alone is not sent: defaults are part of the description, and a body starts with its required fields.
const pointed = (contract, node) => {
  let found = node || {};
  while (found.$ref) found = found.$ref.slice(2).split("/").reduce((place, name) => place[name], contract);
  return found;
};

const withoutValue = (contract, field) => {
  const schema = pointed(contract, field.schema || field);
  if (schema.default !== undefined) {
    field.description = `${field.description || ""} Default: \`${JSON.stringify(schema.default)}\`.`;
  }
  delete schema.default;
};

const withoutValues = (contract, parameters) =>
  Object.values(parameters || {}).forEach((entry) => {
    if (entry.in && !entry.required) withoutValue(contract, entry);
  });

const withoutFormValues = (contract, schema) =>
  Object.entries(schema.properties || {}).forEach(([name, field]) => {
    if (!(schema.required || []).includes(name)) withoutValue(contract, pointed(contract, field));
  });

const startWithRequiredFields = (contract, media) => {
  const first = pointed(contract, Object.values(media.examples || {})[0]).value;
  if (typeof first !== "object" || Array.isArray(first)) return;
  const required = pointed(contract, media.schema).required || [];
  const kept = Object.entries(first).filter(([name]) => required.includes(name));
  if (kept.length === Object.keys(first).length) return;
  const example = { summary: "The required fields alone", value: Object.fromEntries(kept) };
  media.examples = { required_fields: example, ...media.examples };
};

const withoutOptionalValues = (contract) => {
  withoutValues(contract, (contract.components || {}).parameters);
  Object.values(contract.paths || {}).forEach((item) => {
    withoutValues(contract, item.parameters);
    Object.values(item).forEach((operation) => {
      withoutValues(contract, operation.parameters);
      Object.entries(pointed(contract, operation.requestBody).content || {}).forEach(([type, media]) => {
        if (type === "application/json") startWithRequiredFields(contract, media);
        else withoutFormValues(contract, pointed(contract, media.schema));
      });
    });
  });
  return contract;
};

const EmptyForms = () => ({
  statePlugins: {
    spec: { wrapActions: { updateJsonSpec: (update) => (contract) => update(withoutOptionalValues(contract)) } },
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
