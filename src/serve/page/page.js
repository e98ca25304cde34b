// The page of a server: its commands, each with a form to try it. Keeps only the token, and that for this tab.
const $ = (id) => document.getElementById(id);
const make = (tag, properties, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};
const token = $("token");
const headers = (more) => (token.value ? { ...more, Authorization: `Bearer ${token.value}` } : more);
token.value = sessionStorage.token ?? "";
token.onchange = () => { sessionStorage.token = token.value; load(); };

// A field is an element, and the JSON text that it gives, if any. Numbers stay text: those of JavaScript are too short.
function field(name, schema, needed) {
  const nullable = schema.anyOf?.some((one) => one.type === "null");
  const plain = nullable ? schema.anyOf[0] : schema;
  const type = plain.type ?? plain.anyOf?.[0].type;
  const preset = schema.default;
  const note = [schema.description, !needed && preset === undefined && "optional"].filter(Boolean).join(" · ");
  const title = [name, " ", make("small", {}, note)];
  const label = (input) => make("label", {}, make("span", {}, ...title), input);
  if (type === "boolean" && !nullable) {
    const input = make("input", { type: "checkbox", checked: preset });
    return { element: make("label", { className: "check" }, input, make("span", {}, ...title)),
      json: () => `${input.checked}` };
  }
  if (type === "object" && plain.properties) {
    const { element, json } = fields(plain);
    return { element: make("fieldset", {}, make("legend", {}, ...title), ...element), json };
  }
  if (plain.contentEncoding) {
    const input = make("input", { type: "file", required: needed });
    return { element: label(input), json: () => input.files[0] && base64(input.files[0]).then(JSON.stringify) };
  }
  const isText = type === "string", isNumber = type === "integer" || type === "number";
  const input = make(isNumber ? "input" : "textarea", {
    rows: 1, required: needed && !isText, spellcheck: false, autocomplete: "off",
    value: preset == null ? "" : isText ? preset : JSON.stringify(preset),
    placeholder: isNumber || isText ? "" : sample(plain),
  });
  return { element: label(input), json: () => {
    const text = input.value.trim();
    if (isText) return input.value || needed ? JSON.stringify(input.value) : undefined;
    if (!text) return undefined;
    if (/^-?(NaN|Infinity)$/.test(text)) return `"${text}"`;
    try { JSON.parse(text); } catch { input.focus(); throw Error(`${name} is not JSON, write it like ${sample(plain)}`); }
    return text;
  } };
}

function fields(schema) {
  const all = Object.entries(schema.properties).map(([name, one]) =>
    [name, field(name, one, schema.required.includes(name))]);
  const json = async () => {
    const texts = await Promise.all(all.map(async ([name, one]) => [name, await one.json()]));
    return `{${texts.filter(([, text]) => text !== undefined)
      .map(([name, text]) => `${JSON.stringify(name)}:${text}`)}}`;
  };
  return { element: all.map(([, one]) => one.element), json };
}

function sample(schema, depth = 0) {
  const deeper = (one) => sample(one, depth + 1);
  if (depth > 4) return "…";
  if (schema.anyOf) return deeper(schema.anyOf[0]);
  if (schema.type === "array") return `[${(schema.prefixItems ?? [schema.items, schema.items]).map(deeper).join(", ")}]`;
  if (schema.type === "object") {
    return `{${Object.entries(schema.properties).map(([key, one]) => `"${key}": ${deeper(one)}`).join(", ")}}`;
  }
  return { integer: "1", number: "0.5", boolean: "true", null: "null" }[schema.type] ?? '"text"';
}

const base64 = (file) => new Promise((done, fail) => {
  const reader = new FileReader();
  reader.onload = () => done(reader.result.replace(/^.*?,/, ""));
  reader.onerror = () => fail(reader.error);
  reader.readAsDataURL(file);
});

function shown(text) {
  const value = JSON.parse(text);
  // Long integers would not survive.
  if (/\d{16}/.test(text)) return make("pre", {}, text.trim());
  if (value?.[0] && value.every?.((one) => one?.constructor === Object)) {
    const keys = Object.keys(value[0]);
    const row = (tag, cells) => make("tr", {}, ...cells.map((one) =>
      make(tag, {}, one == null ? "" : typeof one === "string" ? one : JSON.stringify(one))));
    return make("table", {}, row("th", keys), ...value.map((one) => row("td", keys.map((key) => one[key]))));
  }
  return make("pre", {}, text.length < 200 ? text.trim() : JSON.stringify(value, null, 2));
}

function failed(text) {
  let error = { message: text };
  try { error = JSON.parse(text).error; } catch {}
  const { message, place, hint, trace = [], stderr_tail = [] } = error;
  return make("pre", { className: "bad" }, [message, place && `at ${place}`,
    ...trace.map((one) => `  ${one.function} (${one.file}:${one.line})`), ...stderr_tail, hint && `hint: ${hint}`]
    .filter(Boolean).join("\n"));
}

async function read(answer, name) {
  const type = answer.headers.get("content-type") ?? "";
  if (answer.status === 401) token.hidden = false;
  if (!answer.ok) return failed(await answer.text());
  if (/json/.test(type)) return shown(await answer.text());
  if (/^text/.test(type)) return make("pre", {}, await answer.text());
  const url = URL.createObjectURL(await answer.blob());
  return /^image/.test(type) ? make("img", { src: url, alt: `Result of ${name}` })
    : make("a", { href: url, download: name }, "Save the result");
}

function card({ name, path, signature, desc, parameters, media_type }) {
  const { element, json } = fields(parameters);
  const run = make("button", {}, "Run"), note = make("span", { role: "status" }), output = make("output");
  let running;
  const form = make("form", {}, make("code", {}, signature),
    make("p", {}, desc.slice(1).join("\n").trim()), ...element, make("footer", {}, run, note), output);
  form.onsubmit = async (event) => {
    event.preventDefault();
    if (running) return running.abort();
    running = new AbortController();
    run.textContent = "Cancel";
    note.textContent = "Running…";
    const start = performance.now();
    try {
      const answer = await fetch(`.${path}`, { method: "POST", body: await json(), signal: running.signal,
        headers: headers({ "Content-Type": "application/json", Accept: media_type ? "*/*" : "application/json" }) });
      output.replaceChildren(await read(answer, name));
      note.textContent = `${answer.status} · ${Math.round(performance.now() - start)} ms`;
    } catch (error) {
      note.textContent = "";
      output.replaceChildren(failed(error.name === "AbortError" ? "Cancelled" : error.message));
    }
    running = null;
    run.textContent = "Run";
  };
  form.onkeydown = (event) => { if (event.key === "Enter" && event.ctrlKey) form.requestSubmit(); };
  const card = make("details", { id: path }, make("summary", {}, make("b", {}, name), make("span", {}, desc[0] ?? "")), form);
  card.ontoggle = () => { if (card.open) history.replaceState(null, "", `#${path}`); };
  return card;
}

async function load() {
  const main = $("programs");
  try {
    const answer = await fetch("v1/programs", { headers: headers({}) });
    if (!answer.ok) return main.replaceChildren(await read(answer));
    const { programs } = await answer.json();
    main.replaceChildren(...programs.map(({ name, version, state, desc = [], commands = [] }) => make("section", {},
      make("h2", {}, name, version ? `@${version}` : "", make("small", {}, state === "ready" ? "" : state)),
      make("p", { className: "note" }, desc[0] ?? ""), ...commands.map(card))));
    if (!programs.length) main.append("No program is deployed.");
    const linked = $(location.hash.slice(1));
    if (linked) { linked.open = true; linked.scrollIntoView(); }
  } catch (error) { main.replaceChildren(failed(error.message)); }
}

$("filter").oninput = ({ target }) => {
  for (const section of document.querySelectorAll("section")) {
    const cards = [...section.querySelectorAll("details")];
    for (const card of cards) card.hidden = !card.firstChild.textContent.toLowerCase().includes(target.value.toLowerCase());
    section.hidden = target.value && cards.every((card) => card.hidden);
  }
};
load();
