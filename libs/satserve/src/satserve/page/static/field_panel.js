/** A field: its season as a chart, its day in words, its numbers to take along. */

import { ask } from "./api.js";
import { chart } from "./chart.js";
import { dayName, dayOf, numberOf } from "./days.js";
import { h } from "./dom.js";
import { causeWords, statusWords } from "./region_day.js";
import { factorOf, shown, titleOf, unitOf } from "./scale.js";
import { changesOf, seasonOf, seriesOf, storyOf } from "./series.js";

/** @typedef {import("./region_day.js").FieldInfo} FieldInfo */
/** @typedef {import("./state.js").State} State */
/** @typedef {import("./scale.js").Column} Column */

/**
 * @param {HTMLElement} panel
 * @param {State} state
 * @param {FieldInfo} field
 * @param {Column} column
 * @param {{close: () => void, onDay: (day: string) => void, stale: () => boolean}} act
 */
export async function showField(panel, state, field, column, act) {
  const [series, changes, story] = await Promise.all([
    seriesOf(field.id, column.name, state.asOf),
    state.asOf ? [] : changesOf(field.id, column.name),
    storyOf(field.id, state.region, state.day, state.asOf),
  ]);
  if (act.stale()) return;
  const close = h("button", { type: "button", class: "quiet" }, "All fields");
  close.addEventListener("click", act.close);
  const facts = [field.id, field.crop, `${shown(field.area)} ha`].filter(Boolean).join(" · ");
  const season = seasonOf(series, column.name, numberOf(state.day), changes);
  const unit = unitOf(column);
  const holder = h("div", { class: "chart-box" });
  const children = [
    h("div", { class: "panel-head" }, h("h2", {}, field.name), close),
    h("p", { class: "hint" }, facts),
    h("h3", {}, titleOf(column.name), unit && h("span", { class: "unit" }, ` ${unit}`)),
    holder,
    season && keys(season, column.name),
    ...storyWords(story, state, column),
    download(field.id, state.asOf),
  ];
  panel.replaceChildren(...children.filter((child) => child instanceof Node));
  if (!season) {
    holder.append(h("p", { class: "hint" }, "There is no row of this field yet."));
    return;
  }
  const draw = () => {
    const width = Math.max(260, holder.clientWidth);
    holder.replaceChildren(chart(season, { width, selected: numberOf(state.day), title: titleOf(column.name), onDay: (day) => act.onDay(dayOf(day)) }));
  };
  draw();
  let before = holder.clientWidth;
  new ResizeObserver(() => {
    if (holder.isConnected && holder.clientWidth !== before) draw();
    before = holder.clientWidth;
  }).observe(holder);
}

/**
 * What is in the chart, and nothing else.
 * @param {import("./chart.js").Season} season
 * @param {string} column
 */
function keys(season, column) {
  const key = (/** @type {string} */ kind, /** @type {string} */ label) => h("li", {}, h("span", { class: `key ${kind}`, "aria-hidden": "true" }), label);
  return h("ul", { class: "keys chart-keys" },
    season.observed.some((p) => !p.partial) && key("seen", "Clear view"),
    season.observed.some((p) => p.partial) && key("partial", "Partly clear"),
    season.line.length > 0 && key("smoothed", /smoothed|mean/.test(column) ? "Smoothed" : "Value"),
    season.before.length > 0 && key("before", "Before correction"),
    ...season.earlier.filter((each) => each.points.length).map((each) => key("earlier", each.label)),
    season.cloudy.length > 0 && key("cloudy", "Cloudy"),
    season.missing.length > 0 && key("gone", "Missing"),
    season.openFrom <= season.last && key("open", "Not final"));
}

/**
 * The story of a day, in sentences.
 * @param {any} story
 * @param {State} state
 * @param {Column} column
 */
function storyWords(story, state, column) {
  const row = story.row;
  const value = row && typeof row[column.name] === "number" ? row[column.name] * factorOf(column.name) : null;
  const unit = unitOf(column);
  const said = [];
  if (!row) said.push("There is no row of this day.");
  else {
    said.push(value === null ? `No value: ${statusWords(row.status)}.` : `${titleOf(column.name)} ${shown(value)}${unit && ` ${unit}`}, ${statusWords(row.status)}.`);
    if (row.state_as_of) said.push(`The newest observation in it is of ${dayName(row.state_as_of)}.`);
    said.push(row.final ? "It is final." : "It is not final.");
  }
  if (story.why && story.state !== "settled") said.push(sentence(story.why));
  if (story.next_step) said.push(`What happens next: ${story.next_step}.`);
  const given = story.publications.map((/** @type {any} */ each) => {
    const told = each.row?.[column.name];
    const words = each.cause === "closed" ? "Published when the day was closed" : each.row ? `Corrected: ${causeWords(each.cause)}` : `Taken out: ${causeWords(each.cause)}`;
    return h("li", {}, h("time", { datetime: each.committed_at }, instantName(each.committed_at)), h("span", {}, words),
      h("span", { class: "number" }, typeof told === "number" ? shown(told * factorOf(column.name)) : "–"));
  });
  const scene = story.scenes.at(-1);
  return [
    h("h3", {}, dayName(state.day)),
    h("p", {}, ...said.join(" ").split("`").map((words, n) => (n % 2 ? h("code", {}, words) : words))),
    given.length > 0 && h("ol", { class: "story", "aria-label": "What was published of this day" }, ...given),
    scene && h("p", { class: "hint" }, `Scene ${scene.item_ids.join(", ")}${scene.sensed ? `, sensed ${instantName(scene.sensed)}` : ""}`),
  ];
}

/**
 * The field's whole series as a file; by fetch, since a link could not send the key.
 * @param {string} field
 * @param {string} asOf
 */
function download(field, asOf) {
  const button = h("button", { type: "button", class: "download" }, "Download CSV");
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      const answer = await ask(`collections/field_metrics/locations/${encodeURIComponent(field)}`, { f: "csv", "as-of": asOf });
      const url = URL.createObjectURL(await answer.blob());
      h("a", { href: url, download: `${field.replace(/[^\w.-]+/g, "_")}.csv` }).click();
      setTimeout(() => URL.revokeObjectURL(url), 10_000);
    } finally {
      button.disabled = false;
    }
  });
  return h("p", {}, button);
}

/** @param {string} words */
function sentence(words) {
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}.`;
}

/**
 * An instant for people, in UTC.
 * @param {string} instant
 */
export function instantName(instant) {
  return `${dayName(instant.slice(0, 10))}, ${instant.slice(11, 16)} UTC`;
}
