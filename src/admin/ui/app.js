// The dashboard: asks the admin API every two seconds and shows what it says.
// What comes from outside is only ever set as text, never as markup.
"use strict";

const EVERY = 2000;
/** The most rows of a table, so that a page of 10,000 routes stays quick. */
const SHOWN = 200;
const byId = (id) => document.getElementById(id);

/** Requests by endpoint at the last poll, to show a rate. */
let counted = { at: 0, by: new Map() };
/** The snapshot whose routes are shown; routes change only with it. */
let routesOf = "";

// === asking ===

async function ask(path, options) {
  const response = await fetch(path, { cache: "no-store", ...options });
  const type = response.headers.get("content-type") || "";
  const answer = type.startsWith("application/json") ? await response.json() : null;
  if (!response.ok && !(answer && "ready" in answer)) {
    const text = answer && answer.error ? answer.error : `${path} answered ${response.status}`;
    const error = new Error(answer && answer.hint ? `${text}; ${answer.hint}` : text);
    error.status = response.status;
    throw error;
  }
  return answer;
}

/** What may not be there, as on a node of another version: then null. */
function askIfThere(path) {
  return ask(path).catch((e) => {
    if (e.status === 404) return null;
    throw e;
  });
}

/** Asks for everything; what fails is shown and the rest goes on. */
async function poll() {
  const paths = ["/ready", "/v1/snapshot", "/v1/clusters", "/v1/sources"];
  const shows = [showReady, showSnapshot, showClusters, showSources, showSplits];
  const asked = [...paths.map((path) => ask(path)), askIfThere("/v1/splits")];
  const answers = await Promise.allSettled(asked);
  const failures = new Set();
  answers.forEach((answer, i) => {
    if (answer.status === "fulfilled") {
      try {
        shows[i](answer.value);
      } catch (e) {
        // An answer of another version must not stop the page.
        failures.add(`${shows[i].name}: ${e.message}`);
      }
    } else {
      failures.add(answer.reason instanceof TypeError ? "No contact with the proxy; what is shown is old." : answer.reason.message);
    }
  });
  if (answers[0].status === "rejected") {
    badge(byId("ready"), "bad", "no contact");
  }
  notice("poll", [...failures].join(" "));
  const snapshot = answers[1].value;
  if (snapshot && routesOf !== snapshot.digest + snapshot.generation) {
    try {
      showRoutes(await ask("/v1/routes"));
      routesOf = snapshot.digest + snapshot.generation;
    } catch (e) {
      notice("poll", e.message);
    }
  }
}

async function loop() {
  if (!document.hidden) {
    await poll();
  }
  setTimeout(loop, EVERY);
}

/** Drains an endpoint or ends it. The next poll shows the outcome; a failure stays until something succeeds. */
async function change(path, button) {
  // Not `disabled`: that would take the focus away.
  if (button.hasAttribute("aria-busy")) return;
  button.setAttribute("aria-busy", "true");
  try {
    // Shown beside what is drained, as who did it.
    const body = JSON.stringify({ author: "dashboard" });
    await ask(path, { method: "POST", headers: { "content-type": "application/json" }, body });
    notice("change", "");
  } catch (e) {
    notice("change", e.message);
  }
  await poll();
  button.removeAttribute("aria-busy");
}

// === showing ===

function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    node.setAttribute(name, value);
  }
  node.append(...children.map((child) => (child instanceof Node ? child : String(child))));
  return node;
}

function badge(node, kind, text) {
  node.className = `badge ${kind}`;
  node.textContent = text;
  return node;
}

const pill = (kind, text) => badge(make("span"), kind, text);

/** A table cell; on a phone its label stands before it. */
function cell(label, content, kind) {
  return make("td", { "data-label": label, class: kind || "" }, content);
}

/** Puts nodes in the place of the old ones, and the focus back on the button it was on. */
function replace(container, nodes) {
  const focused = container.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  container.replaceChildren(...nodes);
  if (focused) {
    [...container.querySelectorAll("button")].find((button) => button.dataset.key === focused)?.focus();
  }
}

/** Fills a table's body: at most SHOWN rows, and where the others are. */
function fill(body, rows, columns, none, all) {
  const note = (...text) => make("tr", {}, make("td", { colspan: columns, class: "empty" }, ...text));
  const more = rows.length - SHOWN;
  const shown = more > 0 ? [...rows.slice(0, SHOWN), note(`and ${more} more: `, make("a", { href: all }, all))] : rows;
  replace(body, shown.length ? shown : [note(none)]);
}

const notices = { poll: "", change: "" };

function notice(from, text) {
  notices[from] = text;
  const all = Object.values(notices).filter(Boolean).join(" ");
  byId("notice").textContent = all;
  byId("notice").hidden = !all;
}

function span(seconds) {
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

function showReady(answer) {
  badge(byId("ready"), answer.ready ? "good" : "warn", answer.ready ? "ready" : `waiting: ${answer.awaiting.join(", ")}`);
}

function showSnapshot(snapshot) {
  byId("generation").textContent = snapshot.generation;
  byId("digest").textContent = snapshot.digest;
  byId("cause").textContent = snapshot.cause;
  byId("age").textContent = span(Math.max(0, Math.floor((Date.now() - Date.parse(snapshot.published_at)) / 1000)));
  byId("age").title = snapshot.published_at;
}

function showRoutes(routes) {
  byId("routes-count").textContent = routes.length;
  const rows = routes.map((route) =>
    make("tr", {},
      cell("Name", route.name),
      cell("Match", conditions(route.match), "code"),
      cell("Action", action(route)),
      cell("Priority", route.priority, "number")));
  fill(byId("routes-body"), rows, 4, "No routes: every request is answered 404.", "/v1/routes");
}

function conditions(match) {
  const parts = [];
  if (match.methods.length) parts.push(match.methods.join("|"));
  const path = match.path ? Object.entries(match.path)[0] : null;
  parts.push((match.hosts.join(" | ") || "any host") + (path ? " " + wording(path) : ""));
  for (const [kind, list] of [["header", match.headers], ["query", match.query]]) {
    for (const one of list) {
      const test = ["exact", "prefix", "regex"].find((key) => one[key] !== null && one[key] !== undefined);
      const value = test ? `${{ exact: "=", prefix: "^=", regex: "~" }[test]}${one[test]}` : one.present === false ? " absent" : "";
      parts.push(`${one.invert ? "not " : ""}${kind} ${one.name}${value}`);
    }
  }
  return parts.join(", ");
}

function wording([kind, value]) {
  if (kind === "prefix") return value === "/" ? "any path" : `${value}/…`;
  return kind === "regex" ? `~ ${value}` : value;
}

function action(route) {
  if (route.cluster) return make("a", { href: `#cluster-${route.cluster}` }, route.cluster);
  if (route.split) return make("a", { href: `#split-${route.name}` }, "split");
  if (route.redirect) return `redirect ${route.redirect.status} to ${route.redirect.to}`;
  if (route.respond) return `respond ${route.respond.status}`;
  return "";
}

/** Routes without a split are most, so where there is none the section is not there either. */
function showSplits(splits) {
  const some = Array.isArray(splits) ? splits : [];
  byId("splits").hidden = byId("splits-link").hidden = some.length === 0;
  byId("splits-count").textContent = some.length;
  const blocks = some.slice(0, SHOWN).map(splitBlock);
  const more = make("p", { class: "quiet" }, "All splits: ", make("a", { href: "/v1/splits" }, "/v1/splits"));
  replace(byId("splits-body"), some.length > SHOWN ? [...blocks, more] : blocks);
}

function splitBlock(split) {
  const head = make("div", { class: "cluster-head" }, make("h3", {}, split.route), originPill(split), ratioPill(split));
  head.append(make("span", { class: "quiet" }, split.key ? `by ${split.key}` : "at random", split.seed ? `, seed ${split.seed}` : ""));
  const block = make("div", { class: "cluster split", id: `split-${split.route}` }, head);
  const story = splitStory(split);
  if (story) block.append(make("p", { class: "hint" }, story));
  if (split.problem) block.append(make("p", { class: "problem" }, pill("bad", "problem"), ` ${split.problem}`));
  const columns = [["Variant"], ["Cluster"], ["Weight", "number"], ["Share", "number"], [""], ["Available"], ["Assigned", "number"]];
  const body = make("tbody");
  const variants = split.variants || [];
  const total = variants.reduce((sum, variant) => sum + variant.weight, 0);
  fill(body, variants.map((variant) => variantRow(variant, total)), columns.length, "No variants.", "/v1/splits");
  block.append(make("table", {},
    make("thead", {}, make("tr", {}, ...columns.map(([name, kind]) => make("th", { class: kind || "" }, name)))), body));
  return block;
}

function originPill(split) {
  const name = { file: "from the file", overlay: "set on this node", consul_kv: "from Consul KV" }[split.origin] || split.origin;
  return pill(split.origin === "file" ? "" : "warn", split.epoch ? `${name}, epoch ${split.epoch}` : name);
}

/** Who changed it last, when and why. */
function splitStory(split) {
  const parts = [];
  if (split.author) parts.push(`by ${split.author}`);
  const at = split.at ? Date.parse(split.at) : NaN;
  if (!Number.isNaN(at)) parts.push(`${span(Math.max(0, Math.floor((Date.now() - at) / 1000)))} ago`);
  return parts.join(", ") + (split.why ? `${parts.length ? ": " : ""}${split.why}` : "");
}

/** Whether the keys that came spread as the weights say. */
function ratioPill(split) {
  const ratio = split.sample_ratio;
  const counted = split.key ? "keys" : "requests";
  if (!ratio) return pill("", `sample ratio: too few ${counted} so far`);
  const broken = ratio.p_value < 0.001;
  const node = pill(broken ? "bad" : "good", broken
    ? `sample ratio broken: p ${ratio.p_value.toFixed(4)} < 0.001`
    : `sample ratio fine: p ${ratio.p_value.toFixed(2)}`);
  node.title = `${ratio.units} ${counted}, chi square ${ratio.chi_square.toFixed(2)}, ${ratio.degrees} degrees of freedom`;
  return node;
}

function variantRow(variant, total) {
  const share = total > 0 ? variant.weight / total : 0;
  const weight = make("span", {}, variant.weight);
  if (Number.isInteger(variant.file_weight) && variant.file_weight !== variant.weight) {
    weight.prepend(make("span", { class: "quiet" }, `file ${variant.file_weight} → `));
  }
  const health = variant.available === 0 ? "bad" : variant.available < variant.endpoints ? "warn" : "good";
  const assigned = Object.values(variant.assigned || {}).reduce((sum, count) => sum + count, 0);
  const row = make("tr", {},
    cell("Variant", variant.name),
    cell("Cluster", make("a", { href: `#cluster-${variant.cluster}` }, variant.cluster)),
    cell("Weight", weight, "number"),
    cell("Share", `${(share * 100).toFixed(1)} %`, "number"),
    cell("", make("progress", { max: 1, value: share, "aria-label": `share of ${variant.name}` })),
    cell("Available", pill(health, `${variant.available} of ${variant.endpoints}`)),
    cell("Assigned", assigned.toLocaleString("en"), "number"));
  row.title = Object.entries(variant.assigned || {}).map(([reason, count]) => `${reason} ${count}`).join(", ");
  return row;
}

function showClusters(clusters) {
  byId("clusters-count").textContent = clusters.length;
  const now = performance.now();
  const by = new Map();
  const seconds = (now - counted.at) / 1000;
  const rate = (key, requests) => {
    by.set(key, requests);
    return counted.by.has(key) ? Math.max(0, (requests - counted.by.get(key)) / seconds) : null;
  };
  const tables = clusters.slice(0, SHOWN).map((cluster) => clusterTable(cluster, rate));
  counted = { at: now, by };
  const all = make("p", { class: "quiet" }, clusters.length ? "All clusters: " : "No clusters: ", make("a", { href: "/v1/clusters" }, "/v1/clusters"));
  replace(byId("clusters-body"), tables.length === clusters.length && tables.length ? tables : [...tables, all]);
}

function clusterTable(cluster, rate) {
  const total = cluster.endpoints.length;
  const health = cluster.available === total && total > 0 ? "good" : cluster.available === 0 ? "bad" : "warn";
  const head = make("div", { class: "cluster-head" },
    make("h3", {}, cluster.name),
    pill(health, `${cluster.available} of ${total} available`));
  if (cluster.panic) head.append(pill("bad", "panic: all are used"));
  if (cluster.draining) {
    const undrain = make("button", { type: "button", "data-key": cluster.name }, "Undrain all");
    undrain.addEventListener("click", () => change(`/v1/clusters/${encodeURIComponent(cluster.name)}/undrain`, undrain));
    head.append(pill("warn", drainedBy(cluster)), undrain);
  }
  head.append(make("span", { class: "quiet" }, `${cluster.source}, ${cluster.policy}${standIns(cluster)}`));
  const columns = [["Address"], ["Weight", "number"], ["Registry"], ["State"], ["In flight", "number"],
    ["Requests", "number"], ["Failed connects", "number"], ["Ejections", "number"], [""]];
  const body = make("tbody");
  fill(body, cluster.endpoints.map((endpoint) => endpointRow(cluster, endpoint, rate)), columns.length,
    "No endpoints: requests are answered 503.", `/v1/clusters/${encodeURIComponent(cluster.name)}`);
  return make("div", { class: "cluster endpoints", id: `cluster-${cluster.name}` }, head,
    make("table", {}, make("thead", {}, make("tr", {}, ...columns.map(([name, kind]) => make("th", { class: kind || "" }, name)))), body));
}

/** Who takes over, and whether they have to. */
function standIns(cluster) {
  const others = cluster.failover || [];
  if (!others.length) return "";
  const moved = Math.round((1 - cluster.score) * 100);
  return `; failover to ${others.join(", ")}${moved ? `: ${moved} % of its requests are theirs now` : ""}`;
}

/** Who drained it, when and why. */
function drainedBy(one) {
  const at = one.drained_at ? Date.parse(one.drained_at) : NaN;
  const since = Number.isNaN(at) ? "" : ` ${span(Math.max(0, Math.floor((Date.now() - at) / 1000)))} ago`;
  const why = one.drained_why ? `: ${one.drained_why}` : "";
  return `drained${one.drained_by ? ` by ${one.drained_by}` : ""}${since}${why}`;
}

/** Why an endpoint is in the state it is in and since when: a sentence for each that has a say. */
function story(cluster, endpoint) {
  const told = [];
  const since = (seconds) => (typeof seconds === "number" ? ` for ${span(seconds)}` : "");
  // What is said of the whole cluster is not said again.
  const drained = endpoint.draining ? drainedBy(endpoint) : "";
  if (drained && !(cluster.draining && drained === drainedBy(cluster))) told.push(drained);
  if (endpoint.registry === "maintenance") told.push("in maintenance, says the registry");
  else if (endpoint.registry === "critical") told.push("critical, says the registry");
  else if (endpoint.weight === 0) told.push("its weight is 0");
  if (endpoint.checked === "down") {
    told.push(`check fails${since(endpoint.checked_since_seconds)}${endpoint.checked_why ? `: ${endpoint.checked_why}` : ""}`);
  } else if (endpoint.checked === "unknown") {
    told.push("not checked yet");
  } else if (endpoint.checked_why) {
    told.push(`last check failed: ${endpoint.checked_why}`);
  }
  const out = { ejected: "ejected", returning: "back for one request, its trial,", trying: "on trial with one request" }[endpoint.standing];
  if (out) {
    told.push(`${out}${since(endpoint.standing_since_seconds)}${endpoint.standing_why ? `: ${endpoint.standing_why}` : ""}`);
  } else if (endpoint.ejections) {
    told.push(`back in${since(endpoint.standing_since_seconds)}`);
  }
  if (!told.length && endpoint.checked === "up") told.push(`check passes${since(endpoint.checked_since_seconds)}`);
  return told;
}

function endpointRow(cluster, endpoint, rate) {
  const address = endpoint.address;
  const name = encodeURIComponent(cluster.name);
  const where = encodeURIComponent(address);
  const path = endpoint.draining
    ? `/v1/clusters/${name}/endpoints/${where}/undrain`
    : `/v1/clusters/${name}/endpoints/${where}/drain`;
  const button = make("button", { type: "button", "data-key": `${cluster.name} ${address}` }, endpoint.draining ? "Undrain" : "Drain");
  button.addEventListener("click", () => change(path, button));
  const perSecond = rate(`${cluster.name} ${address}`, endpoint.requests);
  const requests = perSecond === null ? endpoint.requests : `${endpoint.requests} (${perSecond.toFixed(perSecond < 10 ? 1 : 0)}/s)`;
  const registry = { passing: "good", warning: "warn" }[endpoint.registry] || "bad";
  const state = { available: "good", draining: "warn" }[endpoint.state] || "bad";
  const row = make("tr", {},
    cell("Address", address, "code"),
    cell("Weight", endpoint.weight, "number"),
    cell("Registry", pill(registry, endpoint.registry)),
    cell("State", make("span", {}, pill(state, endpoint.state),
      ...story(cluster, endpoint).map((text) => make("span", { class: "why" }, text)))),
    cell("In flight", endpoint.in_flight, "number"),
    cell("Requests", requests, "number"),
    cell("Failed connects", endpoint.connect_failures, "number"),
    cell("Ejections", endpoint.ejections ?? 0, "number"),
    // What drains all of the cluster is ended for all of it.
    cell("", cluster.draining ? "" : button));
  const labels = endpoint.labels || {};
  row.title = [labels.id, labels.node, labels.datacenter, (labels.tags || []).join(" ")].filter(Boolean).join(", ");
  return row;
}

function showSources(sources) {
  byId("sources-count").textContent = sources.length;
  const rows = sources.map((source) => {
    const age = source.age_seconds;
    return make("tr", {},
      cell("Cluster", source.cluster),
      cell("Source", source.source),
      cell("Age", age === null ? "never" : span(age), "number"),
      cell("Updates", source.updates, "number"),
      cell("Errors", source.errors, "number"),
      cell("State", sourceState(source)));
  });
  fill(byId("sources-body"), rows, 6, "No sources: no cluster asks a registry.", "/v1/sources");
}

function sourceState(source) {
  const parts = make("span");
  const add = (kind, text, why) => parts.append(pill(kind, text), why ? ` ${why} ` : " ");
  if (source.last_error) add("bad", "failing", source.last_error);
  if (source.held) add("warn", "held", source.held);
  if (source.dropped) add("warn", "dropped", source.dropped + ": " + (source.dropped_examples || []).join("; "));
  if (source.from_disk) add("warn", "from disk");
  if (!parts.hasChildNodes()) add("good", "heard");
  return parts;
}

// === explain ===

byId("explain-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  const typed = form.get("url").trim();
  const url = typed.startsWith("/") || typed.includes("://") ? typed : `${location.protocol}//${typed}`;
  const answer = byId("explain-answer");
  answer.hidden = false;
  try {
    const body = JSON.stringify({ method: form.get("method").trim().toUpperCase(), url });
    const decided = await ask("/v1/explain", { method: "POST", headers: { "content-type": "application/json" }, body });
    answer.textContent = JSON.stringify(decided, null, 2);
  } catch (e) {
    answer.textContent = e.message;
  }
});

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) poll();
});

loop();
