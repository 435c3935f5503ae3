/** A field's series from the service, cut into seasons for the chart. */

import { json, pathOf } from "./api.js";
import { numberOf } from "./days.js";
import { factorOf } from "./scale.js";

/** @typedef {import("./chart.js").Season} Season */
/** @typedef {{day: string, column: string, before: unknown, after: unknown, cause: string, committed_at: string}} Change */
/** @typedef {{day: string[], final: boolean[], values: Record<string, any[]>}} Series */

const SMOOTHED = "ndvi_smoothed_e4";
const EARLIEST = "1970-01-01T00:00:00Z";
const YEAR = 365.25;

/**
 * The columns of a chart: what is seen on single days, and the state that is carried from day to day.
 * @param {string} column
 */
export function columnsOf(column) {
  if (column === SMOOTHED || column === "ndvi_mean") return { seen: "ndvi_mean", line: SMOOTHED };
  return /^ndvi_integral|^days_since/.test(column) ? { seen: "", line: column } : { seen: column, line: "" };
}

/**
 * @param {string} field
 * @param {string} column
 * @param {string} asOf
 * @returns {Promise<Series>}
 */
export function seriesOf(field, column, asOf) {
  const { seen, line } = columnsOf(column);
  const names = ["status", "planting_date", seen, line].filter(Boolean).join(",");
  const path = `collections/field_metrics/locations/${encodeURIComponent(field)}`;
  return json(path, { f: "json", "parameter-name": names, "as-of": asOf });
}

/**
 * Corrections of a field's chart, oldest first.
 * @param {string} field
 * @param {string} column
 * @returns {Promise<Change[]>}
 */
export async function changesOf(field, column) {
  const { seen, line } = columnsOf(column);
  const names = [seen, line].filter(Boolean).join(",");
  /** @type {Change[]} */
  const changes = [];
  /** @type {Record<string, string | number>} */
  let given = { since: EARLIEST };
  for (let page = 0; page < 5; page++) {
    const told = await json("changes", { ...given, field, column: names, limit: 10_000 });
    changes.push(...told.changes);
    /** @type {{rel: string, href: string} | undefined} */
    const next = told.links.find((/** @type {{rel: string}} */ link) => link.rel === "next");
    if (!next) break;
    given = Object.fromEntries(new URLSearchParams(next.href.split("?")[1]));
  }
  return changes;
}

/**
 * The season of a day, with those before it laid over.
 * @param {Series} series
 * @param {string} column
 * @param {number} selected
 * @param {Change[]} changes
 * @returns {Season | null} null: there is no row
 */
export function seasonOf(series, column, selected, changes) {
  const { seen, line } = columnsOf(column);
  const days = series.day.map(numberOf);
  const planted = /** @type {(string | null)[]} */ (series.values["planting_date"] ?? []);
  const seasons = [...new Set(planted)].filter((each) => each !== null).sort();
  const own = planted[days.indexOf(selected)] ?? seasons.at(-1);
  const of = (/** @type {string | null | undefined} */ season) => days.map((_, n) => n).filter((n) => planted[n] === season);
  const rows = of(own);
  const [first, last] = [days[rows[0] ?? -1], days[rows.at(-1) ?? -1]];
  if (first === undefined || last === undefined) return null;
  const points = (/** @type {string} */ name, /** @type {number[]} */ which, shift = 0) => which.flatMap((n) => {
    const value = series.values[name]?.[n];
    return typeof value === "number" ? [{ n, day: (days[n] ?? 0) + shift, value: value * factorOf(name) }] : [];
  });
  const status = series.values["status"] ?? [];
  const earlier = seasons.filter((each) => each < (own ?? "")).map((each) => {
    const years = Math.round((numberOf(own ?? "") - numberOf(each)) / YEAR);
    const shifted = points(line || seen, of(each), Math.round(years * YEAR));
    return { label: `planted ${each.slice(0, 4)}`, points: shifted.filter(({ day }) => day >= first && day <= last) };
  });
  const known = new Set(days);
  const span = Array.from({ length: last - first + 1 }, (_, n) => first + n);
  const open = rows.find((n) => !series.final[n]);
  return {
    first, last, earlier, main: column === line ? "line" : "observed",
    observed: seen ? points(seen, rows).map((p) => ({ ...p, partial: status[p.n] === "partial" })) : [],
    line: line ? points(line, rows) : [],
    before: beforeOf(changes, line || seen).filter(({ day }) => day >= first && day <= last),
    cloudy: rows.filter((n) => status[n] === "cloudy").map((n) => days[n] ?? 0),
    missing: [...rows.filter((n) => status[n] === "no_scene").map((n) => days[n] ?? 0), ...span.filter((day) => !known.has(day))],
    openFrom: open === undefined ? Infinity : days[open] ?? Infinity,
  };
}

/**
 * What was published before the last correction of each day.
 * @param {Change[]} changes
 * @param {string} column
 */
function beforeOf(changes, column) {
  /** @type {Map<number, number>} */
  const before = new Map();
  for (const change of changes) {
    if (change.column === column && typeof change.before === "number") before.set(numberOf(change.day), change.before * factorOf(column));
  }
  return [...before].sort(([a], [b]) => a - b).map(([day, value]) => ({ day, value }));
}

/**
 * The story of a field's day.
 * @param {string} field
 * @param {string} region
 * @param {string} day
 * @param {string} asOf
 * @returns {Promise<any>}
 */
export function storyOf(field, region, day, asOf) {
  return json(`${pathOf("fields", field)}/history`, { day, region, "as-of": asOf });
}
