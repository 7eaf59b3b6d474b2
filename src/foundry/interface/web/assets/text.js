"use strict";
// Words and numbers. Whatever others wrote reaches the page as text of a node, never as markup.

const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** JSON as Foundry answers: what others wrote stands in a frame there, and is taken out of it here. */
const read = (json) => JSON.parse(json, (key, value) => (value && typeof value.untrusted === "string" ? JSON.parse(value.untrusted) : value));

/** What a screen would obey or hide, written out. */
function shown(text) {
  return String(text).replace(HIDDEN, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
}

/** An element with a class, and children that are elements or text. */
function make(tag, kind, ...children) {
  const element = document.createElement(tag);
  if (kind) element.className = kind;
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    if (child instanceof Node) element.append(child);
    else shown(child).split(/(?<=[^\s(][+,/])(?!\d)/).forEach((part, i) => element.append(i ? document.createElement("wbr") : "", part));
  }
  return element;
}

const MINUS = "\u2212";
const decimals = (value) => (Math.abs(value) >= 10 ? 2 : Math.abs(value) >= 0.01 || value === 0 ? 4 : 5);
const number = (value) => (value === null || value === undefined ? "" : value.toFixed(decimals(value)).replace("-", MINUS));
const signed = (value) => (value === null || value === undefined ? "" : (value > 0 ? "+" : "") + number(value));
const interval = (bounds) => (bounds ? `${signed(bounds[0])} to ${signed(bounds[1])}` : "");
const count = (value) => Math.round(value).toLocaleString("en-US");
const many = (value, one, more) => `${count(value)} ${value === 1 ? one : more || one + "s"}`;

function unit(value, digits = 3) {
  const sizes = [["E", 1e18], ["P", 1e15], ["T", 1e12], ["G", 1e9], ["M", 1e6], ["k", 1e3]];
  for (const [name, size] of sizes) if (Math.abs(value) >= size) return `${+(value / size).toPrecision(digits)} ${name}`;
  return `${+value.toPrecision(digits)} `;
}
const flops = (value) => (value === null || value === undefined ? "" : `${unit(value)}FLOP`);

function seconds(value) {
  if (value === null || value === undefined) return "";
  if (value < 100) return `${value < 10 ? value.toFixed(1) : Math.round(value)} s`;
  if (value < 6000) return `${Math.round(value / 60)} min`;
  if (value < 172800) return `${(value / 3600).toFixed(1)} h`;
  return `${value < 864000 ? (value / 86400).toFixed(1) : count(value / 86400)} days`;
}

function when(unix, full) {
  const at = new Date(unix * 1000);
  const time = at.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
  const old = full || Date.now() - at > 72000000;
  return old ? `${at.toLocaleDateString("en-GB", { day: "numeric", month: "short" })}, ${time}` : time;
}
/** A recipe's value; of a part its kind, then what it is set to. */
function plain(value) {
  if (typeof value === "string") return value;
  if (!value || typeof value !== "object" || typeof value.kind !== "string") return JSON.stringify(value === undefined ? null : value);
  const rest = Object.entries(value).filter(([key]) => key !== "kind").map(([key, each]) => `${key} ${plain(each)}`);
  return rest.length ? `${value.kind} (${rest.join(", ")})` : value.kind;
}
const brief = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}\u2026` : text);
