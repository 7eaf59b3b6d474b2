"use strict";
// Where the views come from: the file itself, or the server that gave this page, which then tells what changes.

const inside = place("views") ? read(place("views").textContent) : null;
let current = null;
let last = "";

function where(page) {
  const others = page.campaigns.length > 1 && !inside;
  if (!others) return place("where").replaceChildren(page.campaign);
  if (document.activeElement && document.activeElement.tagName === "SELECT") return undefined;
  const select = make("select", "", page.campaigns.map((name) => {
    const option = make("option", "", name);
    option.value = name;
    option.selected = name === page.campaign;
    return option;
  }));
  select.addEventListener("change", () => location.assign(`?campaign=${encodeURIComponent(select.value)}`));
  return place("where").replaceChildren(select);
}

function say(text, kind) {
  place("status").textContent = text;
  place("status").className = `status ${kind}`;
}

// -- a file ------------------------------------------------------------------------------------------------------

function order(rows, { sort, descending }) {
  const key = (row) => row[sort];
  const known = rows.filter((row) => key(row) !== null && key(row) !== "");
  const rest = rows.filter((row) => key(row) === null || key(row) === "");
  known.sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : b.created_unix - a.created_unix));
  return [...(descending ? known.reverse() : known), ...rest];
}

function fromFile() {
  const { page, candidates, opened: details } = inside;
  const note = candidates.total > candidates.rows.length ? ` in this file, of ${count(candidates.total)}: the best, the latest and every comparison` : "";
  table = new Table(place("table"), {
    rows: async (asked) => ({ rows: order(candidates.rows, asked).slice(asked.offset, asked.offset + asked.limit), total: candidates.rows.length, note }),
    opened: async (candidate) => {
      if (!details[candidate]) throw new Error("it isn't in this file");
      return details[candidate];
    },
  });
  current = page;
  show(page);
  table.refresh();
  say(`a file, written ${when(page.made_unix, true)}`, "");
}

// -- live --------------------------------------------------------------------------------------------------------

const campaign = new URLSearchParams(location.search).get("campaign");
const query = (values) => new URLSearchParams({ ...(campaign === null ? {} : { campaign }), ...values }).toString();

async function asked(path, values = {}) {
  const answer = await fetch(`${path}?${query(values)}`);
  const found = read(await answer.text());
  if (!answer.ok) throw new Error(found.error ? found.error.message : answer.statusText);
  return found;
}

/** What is told of a curve from a step on is what it is from there, told twice or not. */
function extend(curve, told) {
  let keep = curve.steps.length;
  while (keep && curve.steps[keep - 1] >= told.steps[0]) keep--;
  curve.steps = [...curve.steps.slice(0, keep), ...told.steps];
  curve.losses = [...curve.losses.slice(0, keep), ...told.losses];
  curve.of_steps = told.of_steps ?? curve.of_steps;
}

/** A newer page; curves of what still runs are those that have grown here. */
function renewed(page) {
  page.live = true;
  const known = new Map(current ? current.curves.map((curve) => [curve.run, curve]) : []);
  page.curves = page.curves.map((curve) => {
    const old = known.get(curve.run);
    if (curve.role !== "running" || !old || old.role !== "running" || !old.steps.length || !curve.steps.length) return curve;
    return old.steps[old.steps.length - 1] >= curve.steps[curve.steps.length - 1] ? { ...curve, steps: old.steps, losses: old.losses } : curve;
  });
  current = page;
  show(page);
  if (!page.empty) table.refresh();
}

let due = null;
function soon() {
  if (due === null) due = setTimeout(() => { due = null; nowPanel(current); }, 200);
}

function listen() {
  const source = new EventSource(`events?${query({ after: last })}`);
  source.addEventListener("open", () => say("live", "live"));
  const note = (event) => { if (event.lastEventId) last = event.lastEventId; };
  source.addEventListener("page", (event) => { note(event); renewed(read(event.data).page); });
  source.addEventListener("curve", (event) => {
    note(event);
    const told = read(event.data);
    const curve = current.curves.find((each) => each.run === told.run && each.role === "running");
    const run = current.running.find((each) => each.run === told.run);
    if (!curve || !told.steps.length) return;
    extend(curve, told);
    if (run) Object.assign(run, { loss: told.losses[told.losses.length - 1], tokens: told.tokens, eta_seconds: told.eta_seconds });
    soon();
  });
  source.addEventListener("trouble", (event) => say(read(event.data).message, "lost"));
  source.addEventListener("error", () => {
    say("the connection is lost; trying again", "lost");
    if (source.readyState !== EventSource.CLOSED) return;
    setTimeout(listen, 3000);
  });
}

async function live() {
  table = new Table(place("table"), {
    rows: (values) => asked("api/candidates", values),
    opened: (candidate) => asked("api/candidate", { candidate }),
  });
  for (;;) {
    try {
      const { page, cursor } = await asked("api/page");
      last = cursor;
      renewed(page);
      break;
    } catch (error) {
      say(error.message, "lost");
      await new Promise((done) => setTimeout(done, 3000));
    }
  }
  listen();
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => current && show(current));
if (inside) fromFile();
else live();
