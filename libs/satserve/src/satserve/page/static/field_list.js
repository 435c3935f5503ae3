/** The fields of the day as a list: the same as the map, for reading and for the keyboard. */

import { h } from "./dom.js";
import { causeWords, statusWords } from "./region_day.js";
import { colourOf, shown, titleOf, unitOf } from "./scale.js";
import { dayName } from "./days.js";

const MOST = 100;

/** @typedef {import("./region_day.js").FieldInfo} FieldInfo */
/** @typedef {import("./region_day.js").RegionDay} RegionDay */

/**
 * @param {{region: string, day: string, asOf: string}} state
 * @param {FieldInfo[]} fields
 * @param {RegionDay | null} told null: the region has no closed day
 * @param {import("./scale.js").Column} column
 * @param {import("./scale.js").Domain} domain
 * @param {(id: string) => void} choose
 */
export function fieldList(state, fields, told, column, domain, choose) {
  const heading = h("h2", {}, state.region, h("span", { class: "soft" }, ` ${state.day && dayName(state.day)}`));
  if (!told) return [heading, h("p", {}, "No day of this region is closed yet. Results appear once its first day is.")];
  const rows = fields
    .map((field) => ({ field, row: told.values.get(field.id), missed: told.missed.get(field.id) }))
    .sort((a, b) => (b.row?.value ?? -Infinity) - (a.row?.value ?? -Infinity) || a.field.name.localeCompare(b.field.name));
  const items = rows.slice(0, MOST).map(({ field, row, missed }) => {
    const value = row?.value ?? null;
    const grey = row?.status === "cloudy" ? "cloudy" : value === null ? "no-value" : "";
    const swatch = grey || value === null ? h("span", { class: `swatch ${grey}`, "aria-hidden": "true" }) : dot(colourOf(value, domain));
    const note = missed ? `missed: ${causeWords(missed)}` : !row ? "no row" : value === null || row.status === "cloudy" ? statusWords(row.status) : row.final ? "" : "not final";
    const button = h("button", { type: "button", class: "row" }, swatch, h("span", { class: "name" }, field.name),
      h("span", { class: "hint" }, note), h("span", { class: "number" }, shown(value)));
    button.addEventListener("click", () => choose(field.id));
    return h("li", {}, button);
  });
  const unit = unitOf(column);
  return [
    heading,
    h("p", { class: "counts" }, countsOf(fields, told)),
    fields.length === 0 && h("p", {}, "No field lies in this region."),
    h("div", { class: "list-head", "aria-hidden": "true" }, h("span", {}, "Field"), h("span", {}, titleOf(column.name) + (unit && ` (${unit})`))),
    h("ul", { class: "list", "aria-label": `Fields by ${titleOf(column.name)}, highest first` }, ...items),
    rows.length > MOST && h("p", { class: "hint" }, `The first ${MOST} of ${rows.length.toLocaleString("en")}; search finds the others.`),
  ];
}

/**
 * A day in numbers.
 * @param {FieldInfo[]} fields
 * @param {RegionDay} told
 */
export function countsOf(fields, told) {
  const rows = fields.map((field) => told.values.get(field.id));
  const count = (/** @type {(row: import("./region_day.js").FieldValue) => boolean} */ is) => rows.filter((row) => row && is(row)).length;
  const parts = [
    `${count((row) => row.value !== null)} of ${fields.length} fields with a value`,
    [count((row) => row.status === "cloudy"), "cloudy"],
    [count((row) => !row.final), "not final"],
    [told.missed.size, "missed"],
  ];
  return parts.map((part) => (typeof part === "string" ? part : part[0] ? `${part[0]} ${part[1]}` : "")).filter(Boolean).join(" · ");
}

/** A coloured dot; the colour by a property, since style attributes are not allowed here. @param {string} colour */
function dot(colour) {
  const swatch = h("span", { class: "swatch", "aria-hidden": "true" });
  swatch.style.backgroundColor = colour;
  return swatch;
}
