"use strict";
// The table of candidates: sorted and paged by the server, or here where the page is a file.

const COLUMNS = [
  ["created_unix", "When", ""], ["name", "Candidate", ""], ["stage", "Tested by", ""], ["outcome", "Outcome", ""],
  ["effect_bpb", "Gain, bits per byte", ""], ["n", "Pairs", "num"], ["share", "Budget", "num"], ["flops", "It took", "num"], ["by", "Proposed by", ""],
];
const STAGES = { screening: "screening", certify: "certification", compare: "comparison", not_worse: "pruning", second_text: "second text", remeasure: "measured again", runs: "no test yet" };
const OUTCOMES = {
  better: "better", not_better: "not better", underpowered: "undecided", rejected: "rejected", incomparable: "incomparable", accepted: "went on", refuted: "gone on fresh seeds",
  eliminated: "out", survived: "not taken", audited: "out, checked", unpaired: "no pair", failed: "failed", done: "trained", begun: "begun",
};
const SHARES = new Map([[1, "full"], [0.5, "1/2"], [0.25, "1/4"], [0.125, "1/8"], [0.0625, "1/16"]]);
const PAGE_ROWS = 25;

/** What a trial's end is called, where its status alone doesn't say it. */
function outcomeOf(row) {
  if (row.stage === "not_worse") return row.outcome === "better" ? "taken out" : "stays";
  const reason = row.reason || "";
  if (row.outcome === "survived" && reason.startsWith("no more than")) return "within noise";
  if (row.outcome === "survived" && reason.startsWith("gained beside")) return "gained, once more";
  return OUTCOMES[row.outcome] || row.outcome;
}

class Table {
  /** source: `rows({offset, limit, sort, descending})` and `opened(candidate)`, both promises. */
  constructor(place, source) {
    Object.assign(this, { place, source, offset: 0, sort: "created_unix", descending: true, open: new Map(), asked: 0 });
    this.body = make("tbody");
    this.heads = COLUMNS.map(([key, title, kind]) => {
      const button = make("button", "", title), head = make("th", kind, button);
      button.type = "button";
      button.addEventListener("click", () => {
        this.descending = this.sort === key ? !this.descending : !["name", "stage", "outcome", "by"].includes(key);
        this.sort = key;
        this.offset = 0;
        this.refresh();
      });
      return [key, title, head, button];
    });
    this.back = make("button", "", "Newer");
    this.on = make("button", "", "Older");
    this.said = make("span", "");
    this.back.addEventListener("click", () => this.turn(-PAGE_ROWS));
    this.on.addEventListener("click", () => this.turn(PAGE_ROWS));
    const table = make("table", "", make("thead", "", make("tr", "", this.heads.map((head) => head[2]))), this.body);
    place.replaceChildren(make("div", "scroll", table), make("div", "pager", this.back, this.on, this.said));
  }

  turn(by) {
    this.offset = Math.max(0, this.offset + by);
    this.refresh();
  }

  async refresh() {
    const asked = ++this.asked;
    let found;
    try {
      found = await this.source.rows({ offset: this.offset, limit: PAGE_ROWS, sort: this.sort, descending: this.descending });
    } catch {
      return;
    }
    if (asked !== this.asked) return;
    for (const [key, title, head, button] of this.heads) {
      button.textContent = this.sort === key ? `${title} ${this.descending ? "\u2193" : "\u2191"}` : title;
      if (this.sort === key) head.setAttribute("aria-sort", this.descending ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
    const scale = span(found.rows.flatMap((row) => [row.effect_bpb ?? NaN, row.low_bpb ?? NaN, row.high_bpb ?? NaN]), 0.9);
    const kept = new Map([...this.open].filter(([key]) => found.rows.some((row) => row.candidate === key)));
    this.open = kept;
    this.body.replaceChildren(...found.rows.flatMap((row) => {
      const line = this.row(row, scale);
      return kept.has(row.candidate) ? [line, kept.get(row.candidate)] : [line];
    }));
    if (!found.rows.length) this.body.append(make("tr", "", make("td", "quiet", "No candidate yet.")));
    const last = this.offset + found.rows.length;
    const [less, more] = this.sort === "created_unix" && this.descending ? ["Newer", "Older"] : ["Back", "Next"];
    this.back.textContent = less;
    this.on.textContent = more;
    this.back.disabled = !this.offset;
    this.on.disabled = last >= found.total;
    this.said.textContent = found.total ? `${count(this.offset + 1)} to ${count(last)} of ${count(found.total)}${found.note || ""}` : "";
  }

  row(row, scale) {
    const bad = ["failed", "rejected", "incomparable"].includes(row.outcome);
    const good = row.outcome === "better" || row.outcome === "accepted";
    const sure = row.stage !== "screening" && row.stage !== "runs";
    const kind = sure && row.low_bpb > 0 ? "sure" : sure && row.high_bpb < 0 ? "worse" : sure ? "" : "hollow";
    const gain = row.effect_bpb === null ? "" : make("div", "effect-line", make("span", "value", signed(row.effect_bpb)), track(scale, row.effect_bpb, row.low_bpb, row.high_bpb, kind));
    if (row.flatters) gain.title = "of the pairs that decided, which flatter";
    const name = make("div", "clamp", row.name || row.recipe.slice(0, 12));
    name.title = shown(row.name);
    const cells = [
      make("td", "when", when(row.created_unix)), make("td", "name", name), make("td", "", STAGES[row.stage] || row.stage),
      make("td", good ? "good" : bad ? "bad" : "", outcomeOf(row)), make("td", "effect", gain), make("td", "num", row.n || ""),
      make("td", "num", row.share === null ? "" : SHARES.get(row.share) || `${+(row.share * 100).toPrecision(2)} %`),
      make("td", "num", row.flops ? flops(row.flops) : ""), make("td", "by", make("div", "clamp", row.by)),
    ];
    const line = make("tr", this.open.has(row.candidate) ? "row is-open" : "row", cells);
    line.tabIndex = 0;
    line.dataset.candidate = row.candidate;
    line.addEventListener("click", () => this.toggle(row, line));
    line.addEventListener("keydown", (event) => event.key === "Enter" && this.toggle(row, line));
    return line;
  }

  async toggle(row, line) {
    if (this.open.has(row.candidate)) {
      this.open.get(row.candidate).remove();
      this.open.delete(row.candidate);
      line.className = "row";
      return;
    }
    const cell = make("td", "", make("div", "quiet", "\u2026"));
    const below = make("tr", "below", cell);
    cell.colSpan = COLUMNS.length;
    this.open.set(row.candidate, below);
    line.className = "row is-open";
    line.after(below);
    try {
      cell.replaceChildren(opened(row, await this.source.opened(row.candidate)));
    } catch (error) {
      cell.replaceChildren(make("div", "quiet", `not to be had: ${error.message}`));
    }
  }

  /** Show the row of a candidate, wherever it is in the order. */
  async reveal(candidate) {
    for (let offset = 0; offset < 100 * PAGE_ROWS; offset += PAGE_ROWS) {
      if (offset) this.offset = offset;
      else Object.assign(this, { sort: "created_unix", descending: true, offset: 0 });
      await this.refresh();
      const line = [...this.body.children].find((each) => each.dataset.candidate === candidate);
      if (line) {
        if (!this.open.has(candidate)) line.click();
        line.scrollIntoView({ block: "center", behavior: "smooth" });
        return;
      }
      if (this.on.disabled) return;
    }
  }
}

/** What a row holds when it is opened: diff, pairs, the verdict in words. */
function opened(row, detail) {
  const edits = detail.edits.map((edit) => make("div", "", make("span", "path", `${edit.path}: `), make("del", "", plain(edit.old)), " \u2192 ", make("ins", "", plain(edit.new))));
  if (detail.more_edits) edits.push(make("div", "quiet", `and ${detail.more_edits} more`));
  const against = detail.against ? `What it changes in ${brief(detail.against, 90)}` : "What it changes";
  const none = detail.against_recipe ? "Nothing: the same recipe." : "The recipe that it was tried against isn't on record.";
  const left = make("div", "", make("h3", "", against), edits.length ? make("div", "edits", edits) : make("div", "quiet", none));
  const right = make("div", "", make("h3", "", "On the same seeds"), pairsOf(detail.pairs));
  const words = [detail.says || row.reason, row.why && `Why it was proposed: ${row.why}`, ...detail.notes];
  return make("div", "open", words.filter(Boolean).map((text) => make("div", "wide", text)), left, right);
}

function pairsOf(pairs) {
  if (!pairs.length) return make("div", "quiet", "No run of both on a shared seed is on record.");
  const gains = pairs.map((pair) => pair.gain_bpb).filter((gain) => gain !== null);
  const scale = span(gains, 1);
  const rows = pairs.flatMap((pair) => {
    const seed = String(pair.seed), kind = pair.gain_bpb > 0 ? "sure" : "worse";
    const picture = pair.gain_bpb === null ? make("div", "quiet", "a run failed") : track(scale, pair.gain_bpb, Math.min(0, pair.gain_bpb), Math.max(0, pair.gain_bpb), kind);
    const scores = make("div", "quiet", `seed ${seed.length > 6 ? "\u2026" + seed.slice(-5) : seed}  ${number(pair.baseline_bpb) || "failed"} \u2192 ${number(pair.candidate_bpb) || "failed"}`);
    return [scores, picture, make("div", "gain", signed(pair.gain_bpb))];
  });
  return make("div", "pairs", rows);
}
