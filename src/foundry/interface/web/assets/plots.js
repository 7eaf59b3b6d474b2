"use strict";
// Pictures: the champion's line, learning curves (uPlot), and rows of intervals (plain elements).

const tone = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const SPOT = 5;

function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] : null;
}

/** Axis labels with as many decimals as tell them apart. */
function ticks(_, splits) {
  const step = splits.length > 1 ? Math.abs(splits[1] - splits[0]) : 1;
  let places = 0;
  while (places < 7 && Math.abs(step * 10 ** places - Math.round(step * 10 ** places)) > 1e-6) places++;
  return splits.map((value) => value.toFixed(places).replace("-", MINUS));
}

function axes(left, bottom, values) {
  const font = "12px system-ui, sans-serif";
  const common = { stroke: tone("soft"), font, labelFont: font, grid: { stroke: tone("line"), width: 1 }, ticks: { show: false } };
  return [
    { ...common, label: bottom, labelSize: 20, size: 30, space: 70, values, grid: { show: false } },
    { ...common, label: left, labelSize: 20, size: 58, space: 34, values: ticks },
  ];
}

/** A plot that follows its place's width and tells what is under the pointer. `told` gives lines of text, or null. */
function plot(place, options, data, told) {
  place.replaceChildren();
  const tip = make("div", "tip");
  tip.hidden = true;
  const hooks = {
    setCursor: [(u) => {
      const lines = u.cursor.left >= 0 ? told(u) : null;
      tip.hidden = !lines;
      if (!lines) return;
      tip.replaceChildren(make("b", "", lines[0]), ...lines.slice(1).map((line) => make("div", "", line)));
      const right = u.cursor.left > u.over.clientWidth / 2;
      tip.style.left = right ? "" : `${u.over.offsetLeft + u.cursor.left + 14}px`;
      tip.style.right = right ? `${place.clientWidth - u.over.offsetLeft - u.cursor.left + 14}px` : "";
      tip.style.top = `${Math.max(0, u.cursor.top - 10)}px`;
    }],
  };
  const made = new uPlot({
    width: Math.max(place.clientWidth, 240), padding: [8, 36, 0, 0], legend: { show: false }, hooks, ...options,
    cursor: { y: false, points: { show: false }, drag: { x: true, y: false }, ...options.cursor },
  }, data, place);
  made.over.append(tip);
  place.append(tip);
  new ResizeObserver(() => {
    const width = Math.max(place.clientWidth, 240);
    if (width !== made.width) made.setSize({ width, height: made.height });
  }).observe(place);
  return made;
}

/** The champion's stairs with their band, and the others as grey dots, over the compute that was spent. */
function linePlot(place, page) {
  const stairs = page.stairs.filter((stair) => stair.bpb !== null);
  const dots = page.tried.flops.map((x, i) => ({ x, y: page.tried.bpb[i], name: page.tried.names[i] }));
  const end = Math.max(page.spent.flops, ...stairs.map((s) => s.flops), 1) * 1.04; // so that the last step has a tread
  const marks = stairs.map((s) => ({ x: s.flops, y: s.bpb, low: s.interval_bpb[0], high: s.interval_bpb[1], stair: s }));
  if (marks.length) marks.push({ ...marks[marks.length - 1], x: Math.max(end, marks[marks.length - 1].x) });
  const all = [...dots.map((dot) => ({ x: dot.x, dot })), ...marks.map((mark) => ({ x: mark.x, mark }))];
  all.sort((a, b) => a.x - b.x);
  const lows = [...marks.map((m) => m.low), ...dots.map((d) => d.y)];
  const highs = marks.map((m) => m.high);
  const bottom = Math.min(...lows), start = Math.max(...highs, quantile(dots.map((d) => d.y), marks.length ? 0.5 : 0.9) ?? -Infinity);
  const room = Math.max(start - bottom, 1e-4) * 0.08, top = start + room;
  const above = dots.filter((dot) => dot.y > top).length;
  const data = [
    all.map((each) => each.x),
    all.map((each) => (each.dot && each.dot.y <= top ? each.dot.y : null)),
    all.map((each) => (each.mark ? each.mark.high : null)),
    all.map((each) => (each.mark ? each.mark.low : null)),
    all.map((each) => (each.mark ? each.mark.y : null)),
  ];
  const stepped = uPlot.paths.stepped({ align: 1 });
  const edge = { paths: stepped, spanGaps: true, points: { show: false }, stroke: "transparent", width: 0 };
  const spot = { show: true, size: 7, fill: tone("accent"), stroke: tone("panel"), width: 1.5 };
  const own = (u, series, from, to) => all.flatMap((each, i) => (each.mark && i >= from && i <= to && i < all.length - 1 ? [i] : []));
  plot(place, {
    height: 330,
    scales: { x: { time: false, range: [0, end] }, y: { range: [bottom - room, top] } },
    axes: axes("bits per byte (lower is better)", "compute spent", (_, splits) => splits.map((value) => (value ? flops(value) : "0"))),
    series: [
      {},
      { paths: () => null, points: { show: true, size: SPOT, fill: tone("dot"), stroke: "transparent", width: 0 } },
      edge, edge,
      { paths: stepped, spanGaps: true, stroke: tone("accent"), width: 2.5, points: { ...spot, filter: own } },
    ],
    bands: [{ series: [2, 3], fill: tone("band") }],
  }, data, (u) => {
    const x = u.posToVal(u.cursor.left, "x"), y = u.posToVal(u.cursor.top, "y");
    const size = (point) => Math.hypot((point.x - x) / (end || 1) * u.over.clientWidth, (point.y - y) / (top - bottom) * u.over.clientHeight);
    const near = [...dots, ...marks].filter((point) => point.y <= top).sort((a, b) => size(a) - size(b))[0];
    if (!near || size(near) > 40) return null;
    if (!near.stair) return [brief(near.name, 160), `${number(near.y)} bits per byte`, `after ${flops(near.x)}`];
    const s = near.stair;
    const name = s.mutation || (s.kind === "adopt" ? "the start, as the file had it" : s.kind);
    const gain = s.effect_bpb === null ? [] : [`${signed(s.effect_bpb)} bits per byte, ${s.flatters ? "on the pairs that decided, which flatter" : `measured again on ${many(s.n, "pair")}`}`, `95 %: ${interval(s.effect_interval_bpb)}`];
    return [brief(name, 200), ...gain, `${when(s.created_unix, true)}${s.reverted ? ", taken back since" : ""}`];
  });
  return above;
}

const COLOURS = ["run", "second", "third", "fourth", "bad", "soft"];

/** Training losses: the champion's under those that run now, others in grey. The colour of each, for the list. */
function curvesPlot(place, curves) {
  const drawn = curves.filter((curve) => curve.steps.length);
  const order = { finished: 0, champion: 1, running: 2 };
  drawn.sort((a, b) => order[a.role] - order[b.role]);
  let live = 0;
  const colours = drawn.map((c) => (c.role === "champion" ? "accent" : c.role === "running" ? COLOURS[live++ % COLOURS.length] : "faint"));
  const data = drawn.length > 1 ? uPlot.join(drawn.map((c) => [c.steps, c.losses])) : [drawn[0].steps, drawn[0].losses];
  const longest = Math.max(...drawn.map((c) => Math.max(c.of_steps || 0, c.steps[c.steps.length - 1])));
  const settled = drawn.flatMap((c) => c.losses.filter((_, i) => c.steps[i] >= longest * 0.04));
  const lowest = Math.min(...drawn.flatMap((c) => c.losses));
  const highest = settled.length > 20 ? Math.max(quantile(settled, 0.995), lowest + 1e-3) : Math.max(...drawn.flatMap((c) => c.losses));
  const room = Math.max(highest - lowest, 1e-3) * 0.05;
  plot(place, {
    height: 270,
    scales: { x: { time: false, range: [0, longest] }, y: { range: [lowest - room, highest + room] } },
    axes: axes("training loss", "step", (_, splits) => splits.map((value) => count(value))),
    series: [{}, ...drawn.map((c, i) => ({
      stroke: tone(colours[i]), width: c.role === "finished" ? 1 : 2, alpha: c.role === "finished" ? 0.55 : 1, spanGaps: true, points: { show: c.steps.length < 3 },
    }))],
  }, data, (u) => {
    const step = u.posToVal(u.cursor.left, "x"), loss = u.posToVal(u.cursor.top, "y");
    let best = null;
    for (const c of drawn) {
      let i = c.steps.findIndex((each) => each >= step);
      i = i < 0 ? c.steps.length - 1 : i;
      const off = Math.abs(c.losses[i] - loss) + (Math.abs(c.steps[i] - step) / longest) * (highest - lowest);
      if (!best || off < best.off) best = { c, i, off };
    }
    if (!best || best.off > (highest - lowest) * 0.15) return null;
    return [brief(best.c.name || best.c.recipe.slice(0, 12), 160), `loss ${best.c.losses[best.i].toFixed(3)} at step ${count(best.c.steps[best.i])}`];
  });
  return new Map(drawn.map((curve, i) => [curve.run, colours[i]]));
}

/** A common scale for rows of intervals, zero in it. */
function span(values, share = 0.95) {
  const known = values.filter((value) => Number.isFinite(value));
  const low = Math.min(0, quantile(known, 1 - share) ?? 0), high = Math.max(0, quantile(known, share) ?? 0);
  const room = Math.max(high - low, 1e-6) * 0.06;
  return [low - room, high + room];
}

/** One interval on a scale; what lies beyond it is cut at its edge. */
function track([from, to], value, low, high, kind) {
  const at = (x) => Math.max(0, Math.min(100, ((x - from) / (to - from)) * 100));
  const place = make("div", "track"), zero = make("div", "zero");
  zero.style.left = `${at(0)}%`;
  place.append(zero);
  if (low !== null && low !== undefined) {
    const line = make("div", `span ${kind}`);
    line.style.left = `${at(low)}%`;
    line.style.width = `${Math.max(0.5, at(high) - at(low))}%`;
    place.append(line);
  }
  const spot = make("div", `spot ${kind}`);
  spot.style.left = `${at(value)}%`;
  place.append(spot);
  return place;
}
