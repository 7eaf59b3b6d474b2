"use strict";
// The page: what each panel says of the views. Filled anew with each page that comes; the table pages for itself.

const place = (name) => document.getElementById(name);
const HOW = { fdr: "of all promotions", fwer: "chance of even one false promotion", "per-comparison": "chance of a false promotion at each" };

function tile(name, title, big, kind, ...subs) {
  const main = make("div", `big ${kind || ""} ${String(big).length > 48 ? "long" : ""}`, big);
  main.title = shown(big);
  place(name).replaceChildren(make("h2", "", title), main, ...subs.filter(Boolean).map((sub) => make("div", "sub", sub)));
}

function tiles(page) {
  const c = page.champion, spent = page.spent, loop = page.loop;
  if (c) {
    tile("tile-champion", "Champion", c.name || c.recipe.slice(0, 12), "",
      c.promotions ? `${many(c.promotions, "promotion")} since the start of ${c.file}` : `as ${c.file} has it; nothing was better yet`, `recipe ${c.recipe.slice(0, 12)}`);
    const ago = (page.live ? Date.now() / 1000 : page.made_unix) - c.since_unix;
    tile("tile-since", "Since", when(c.since_unix, true), "", ago > 60 ? `${seconds(ago)} before this page` : "a moment ago", `after ${many(c.since_runs, "run")}`);
    const rate = c.control === "fdr" ? `At most ${+(c.q * 100).toPrecision(3)} % ${HOW.fdr} are expected to be false.` : `At most ${+(c.q * 100).toPrecision(3)} % ${HOW[c.control] || ""}.`;
    if (c.gain_bpb === null) tile("tile-sure", "How sure", "Nothing to be sure of yet", "", "This is where the search began; a gain is quoted once a test has passed.", rate);
    else {
      const share = c.start_bpb ? `, ${(100 * c.gain_bpb / c.start_bpb).toPrecision(2)} % of the start` : "";
      tile("tile-sure", "How sure", `${signed(c.gain_bpb)} bits per byte`, c.interval_bpb[0] > 0 ? "good" : "",
        `95 %: ${interval(c.interval_bpb)}${share}; ${c.flatters ? "of the pairs that decided, which flatter; it isn\u2019t measured again yet" : `measured again on ${many(c.pairs, "pair")} of runs that decided nothing`}`, rate);
    }
  } else {
    tile("tile-champion", "Champion", "None yet", "", "foundry sweep \u2026 --promote or foundry campaign puts a first one to the test");
    tile("tile-since", "Since", "\u2013", "");
    tile("tile-sure", "How sure", "\u2013", "", "runs alone rank; they decide nothing");
  }
  const now = page.running.length, trying = loop.trying;
  const what = loop.alive && loop.at === "court" ? "A test that decides" : loop.alive && loop.at === "round" ? `Round ${count(loop.rounds)}: ${many(trying.length, "candidate")}` : now ? many(now, "run") : "Nothing runs now";
  const words = loop.alive && trying.length ? brief(trying.join(", "), 150) : now ? brief(page.running.map((run) => run.name).join(", "), 150) : page.queued_runs ? `${many(page.queued_runs, "run")} left unfinished; the same command goes on` : "";
  tile("tile-trying", "Being tried", what, now || loop.alive ? "run" : "", words, progress(loop));
  const dates = spent.since_unix && spent.until_unix - spent.since_unix > 86400 ? `over ${seconds(spent.until_unix - spent.since_unix)}` : "";
  tile("tile-cost", "It cost", many(spent.runs, "run"), "", `${flops(spent.flops)}, ${seconds(spent.seconds)} of training ${dates}`.trim(), spent.failed ? `${count(spent.failed)} of them failed` : "none failed");
}

function progress(loop) {
  if (!loop.alive) return "";
  const parts = [];
  if (loop.asked_runs) parts.push(`${count(Math.min(loop.runs, loop.asked_runs))} of ${many(loop.asked_runs, "run")}`);
  if (loop.asked_hours) parts.push(`${loop.hours.toFixed(1)} of ${+loop.asked_hours.toPrecision(3)} hours`);
  if (loop.asked_flops) parts.push(`${flops(loop.flops)} of ${flops(loop.asked_flops)}`);
  if (loop.eta_seconds !== null) parts.push(`about ${seconds(loop.eta_seconds)} to go`);
  return parts.join(", ");
}

function linePanel(page) {
  const some = page.tried.flops.length || page.stairs.some((stair) => stair.bpb !== null);
  place("line").replaceChildren();
  if (!some) {
    place("line").replaceChildren(make("div", "nothing", "The first score draws this picture."));
    return;
  }
  const above = linePlot(place("line"), page);
  const shownDots = page.tried.flops.length;
  const key = (kind, colour, text) => {
    const chip = make("i", kind);
    chip.style.background = tone(colour);
    return make("span", "key whole", chip, make("span", "", text));
  };
  const notes = [page.stairs.length && key("", "accent", "champion, with the 95 % interval of what was gained since the start"), key("spot", "soft", `tried on the full budget, each its mean score: ${count(page.tried.of)}`)];
  const cut = [page.tried.of > shownDots && `${count(shownDots)} of them drawn`, above && `${count(above)} worse ones above the picture`].filter(Boolean);
  place("line-keys").replaceChildren(...notes.filter(Boolean), cut.length ? make("span", "", cut.join(", ")) : "");
}

function nowPanel(page) {
  const curves = page.curves.filter((curve) => curve.steps.length);
  if (curves.length) {
    const colours = curvesPlot(place("curves"), curves);
    const shownCurves = [...curves].sort((a, b) => (a.role === "champion" ? -1 : b.role === "champion" ? 1 : 0));
    const rest = curves.filter((curve) => curve.role === "finished").length;
    place("curves-keys").replaceChildren(...shownCurves.filter((curve) => curve.role !== "finished").map((curve) => {
      const chip = make("i", "");
      chip.style.background = tone(colours.get(curve.run));
      return make("span", "key", chip, make("span", "", (curve.role === "champion" ? "champion: " : "") + (curve.name || curve.recipe.slice(0, 12))));
    }), rest ? make("span", "key", make("i", ""), make("span", "", many(rest, "recipe finished lately", "recipes finished lately"))) : "");
  } else {
    place("curves").replaceChildren(make("div", "nothing", page.spent.runs ? "None of these runs has left its training loss on the disk." : "The first run draws its training loss here."));
    place("curves-keys").replaceChildren();
  }
  place("jobs").replaceChildren(...page.running.map((run) => {
    const share = run.budget_tokens ? Math.min(1, run.tokens / run.budget_tokens) : 0;
    const inside = make("div", "");
    inside.style.width = `${(share * 100).toFixed(1)}%`;
    const facts = run.stage === "judging" ? "being judged" : share >= 1 ? "trained" : [run.loss !== null ? `loss ${run.loss.toFixed(3)}` : "starting", run.eta_seconds !== null && `${seconds(run.eta_seconds)} to go`].filter(Boolean).join(", ");
    const name = make("div", "name clamp", run.name || run.recipe.slice(0, 12));
    name.title = shown(run.name);
    return make("li", "", name, make("div", "bar", inside), make("div", "fact", facts));
  }));
  place("jobs-none").textContent = page.running.length ? "" : page.loop.alive ? "Between two runs." : "No run is being trained.";
  const queue = page.waiting.map((each) => make("p", "", make("b", "", each.mutation), ` by ${each.who || "nobody named"}`, each.why ? make("span", "quiet", ` \u2013 ${each.why}`) : ""));
  if (page.waiting_of > page.waiting.length) queue.push(make("p", "quiet", `and ${count(page.waiting_of - page.waiting.length)} more`));
  const idle = page.loop.alive ? "Nothing was proposed from outside; the strategies propose." : "Empty. foundry propose puts a mutation here, and the next campaign takes it first.";
  place("queue").replaceChildren(make("h3", "", "Proposed, and next"), ...(queue.length ? queue : [make("p", "quiet", idle)]));
}

function decisionsPanel(page) {
  place("decisions").replaceChildren(...page.decisions.map((each) => {
    const text = make("span", "text clamp", each.text);
    text.title = shown(each.text);
    const line = make("li", each.tone, text, make("time", "", when(each.created_unix)));
    line.addEventListener("click", () => table.reveal(each.candidate));
    return line;
  }));
  if (!page.decisions.length) place("decisions").append(make("li", "quiet", make("span", "text", "Nothing was decided yet."), ""));
}

function effectsPanel(page) {
  const rows = [], scale = span(page.effects.flatMap((e) => [e.effect_bpb, e.low_bpb, e.high_bpb]), 0.92);
  let family = "";
  for (const e of page.effects) {
    if (e.family !== family) rows.push(make("div", "family", (family = e.family)));
    const kind = e.sure ? (e.low_bpb > 0 ? "sure" : e.high_bpb < 0 ? "worse" : "") : "hollow";
    const variant = e.mutation.slice(e.family.length + 1) || e.mutation;
    rows.push(make("div", "label", variant), track(scale, e.effect_bpb, e.low_bpb, e.high_bpb, kind), make("div", "value", signed(e.effect_bpb)));
  }
  if (rows.length) rows.push(make("div", "axis", make("span", "", `${signed(scale[0])}`), make("span", "", "gain, bits per byte"), make("span", "", signed(scale[1]))));
  place("effects").replaceChildren(...(rows.length ? rows : [make("div", "nothing", "No mutation was tried alone on the full budget yet.")]));
}

function budgetPanel(page) {
  const b = page.budget, inside = make("div", "");
  const share = b.q ? Math.max(0, Math.min(1, b.spent / b.q)) : 0;
  inside.style.width = `${(share * 100).toFixed(1)}%`;
  const perTest = b.control === "per-comparison";
  const lines = perTest ? [`Each test at ${b.q}; nothing is corrected.`] : [`${(share * 100).toFixed(0)} % of q = ${b.q} spent on ${many(b.tests, "test")} of season ${b.season}; ${many(b.promotions, "promotion stands", "promotions stand")}.`];
  lines.push(`The next test: \u03b1 = ${+b.next.alpha.toPrecision(3)}, at most ${many(b.next.pairs, "pair")}${b.next.opens_a_season ? ", in a new season" : ""}. ${perTest ? "" : `Without a promotion it pays for ${many(b.tests_left_without_a_promotion, "more test", "more tests")}.`}`);
  place("budget").replaceChildren(perTest ? "" : make("div", "bar budget", inside), ...lines.map((line) => make("div", "quiet", line)));
}

function failuresPanel(page) {
  const by = Object.entries(page.failures.by_reason);
  place("failures-note").textContent = shown(by.length ? by.map(([reason, n]) => `${count(n)} ${reason}`).join(", ") + (page.spent.failed > page.failures.latest.length ? `; the latest ${page.failures.latest.length}:` : "") : "No run has failed.");
  place("failures").replaceChildren(...page.failures.latest.map((each) => make("li", "",
    make("div", "", make("span", "bad", each.reason), ` ${brief(each.name || each.run.slice(0, 12), 160)}`), each.detail ? make("div", "detail", each.detail) : "")));
}

function factsPanel(page) {
  place("facts").replaceChildren(...page.facts.flatMap((fact) => [make("dt", "", fact.name), make("dd", "", fact.value)]));
}

let table = null;

/** Every panel; where nothing has run, one sentence instead of them. */
function show(page) {
  place("nothing").hidden = !page.empty;
  place("all").hidden = page.empty;
  document.title = page.champion && page.champion.gain_bpb !== null ? `${signed(page.champion.gain_bpb)} bits per byte \u2013 Foundry` : "Foundry";
  where(page);
  if (page.empty) return;
  for (const panel of [tiles, linePanel, nowPanel, decisionsPanel, effectsPanel, budgetPanel, failuresPanel, factsPanel]) panel(page);
  place("foot").textContent = `Foundry ${page.version}. Bits per byte: lower is better; a gain is baseline minus candidate. Nothing on this page leaves the machine, and nothing outside is asked.`;
}
