/** The page: keeps the address, the controls and what is shown in step. */

import { Refused, ask, forget, json, keepKey, onKeyNeeded, pathOf } from "./api.js";
import { DaySlider, dayName } from "./days.js";
import { announce, byId, h } from "./dom.js";
import { countsOf, fieldList } from "./field_list.js";
import { showField } from "./field_panel.js";
import { drawLegend } from "./legend.js";
import { DARK, FieldMap } from "./map.js";
import { boundsOf, causeWords, fieldsOf, hasMany, regionDay, statusWords } from "./region_day.js";
import { allRegions, showRegions } from "./regions_view.js";
import { domainOf, factorOf, knownDomain, numeric, shown, titleOf } from "./scale.js";
import { Search } from "./search.js";
import { addressOf, stateOf } from "./state.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {import("./scale.js").Column} Column */
/** @typedef {import("./scale.js").Domain} Domain */

const FIRST_COLUMN = "ndvi_smoothed_e4";

let state = stateOf(location.search);
/** @type {any[]} */
let regions = [];
/** @type {Column[]} */
let columns = [];
/** @type {import("./region_day.js").FieldInfo[]} */
let fields = [];
/** @type {Set<string>} */
let pictures = new Set();
/** @type {import("./region_day.js").RegionDay | null} */
let told = null;
/** @type {FieldMap | null} */
let map = null;
/** @type {Promise<FieldMap | null> | null} */
let mapMade = null;
let loadedRegion = "";
/** @typedef {{region: string, bounds: import("./region_day.js").Bounds, many: boolean, pictures: string[]}} Frame */
/** @type {Frame | null} of the region that is shown */
let frame = null;
let followed = ""; // the field that the map was last moved to
let turn = 0;
/** @type {Map<string, Domain>} */
const domains = new Map();

const slider = new DaySlider((day, settled) => go({ day }, settled ? "push" : "replace"));
const search = new Search((id) => void go({ field: id }, "push"));

/** @param {string} words empty: nothing is wrong */
function notice(words) {
  byId("notice").textContent = words;
  byId("notice").hidden = !words;
}

/**
 * Show something else.
 * @param {Partial<State>} change
 * @param {"push" | "replace"} how it is kept in the history
 */
async function go(change, how) {
  state = { ...state, ...change };
  const address = addressOf(state);
  if (how === "push" && address !== location.pathname + location.search) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
  await show();
}

/** Show what the state says; a later call overtakes this one. */
async function show() {
  const mine = ++turn;
  try {
    await (state.view === "regions" ? viewRegions() : viewMap(() => mine !== turn));
    if (mine === turn) notice("");
  } catch (error) {
    if (mine !== turn) return;
    notice(error instanceof Refused ? error.message : "The page failed; reload it.");
    if (!(error instanceof Refused)) console.error(error);
  } finally {
    if (mine === turn) document.body.dataset["shown"] = location.search || "?";
  }
}

async function viewRegions() {
  views();
  regions = await allRegions();
  showRegions(byId("regions-view"), regions, (region) => addressOf({ ...state, view: "map", region, field: "", day: "" }));
  document.title = "Regions – Satfields";
}

function views() {
  const onMap = state.view === "map";
  byId("map-view").hidden = !onMap;
  byId("choices").hidden = !onMap;
  byId("regions-view").hidden = onMap;
  for (const [id, here] of /** @type {[string, boolean][]} */ ([["view-map", onMap], ["view-regions", !onMap]])) {
    if (here) byId(id).setAttribute("aria-current", "page");
    else byId(id).removeAttribute("aria-current");
  }
}

/** @param {() => boolean} stale */
async function viewMap(stale) {
  views();
  const region = regions.find((each) => each.region === state.region) ?? (state.region ? null : regions.find((each) => each.watermark) ?? regions[0]);
  if (!region) {
    if (state.region) throw new Refused(404, `There is no region ${state.region}, or the key does not see it.`);
    byId("panel").replaceChildren(h("h2", {}, "No region yet"), h("p", {}, "Register one with satctl regions add; its fields appear here."));
    return;
  }
  await loadColumns(region.region);
  if (stale()) return;
  const named = (/** @type {string} */ name) => columns.find((each) => each.name === name);
  const column = named(state.column) ?? named(FIRST_COLUMN) ?? columns[0];
  if (!column) throw new Refused(0, "The service has no numeric column.");
  const last = region.watermark ?? "";
  const day = state.day && last ? clamp(state.day, region.monitored_from, last) : last;
  state = { ...state, region: region.region, column: column.name, day };
  history.replaceState(null, "", addressOf(state));
  controls();
  mapMade ??= makeMap();
  const framed = frame && frame.region === region.region ? frame : await frameOf(region.region);
  map = await mapMade;
  if (stale()) return;
  if (framed !== frame) {
    frame = framed;
    pictures = new Set(framed.pictures);
    slider.span(region.monitored_from, last || region.monitored_from, framed.pictures);
    map?.setRegion(framed.bounds);
    fields = search.fields = [];
    loadedRegion = followed = "";
    if (framed.many) byId("panel").replaceChildren(h("h2", {}, region.region), h("p", { class: "soft" }, "Its fields are being read."));
  }
  if (framed.many && day) await showOverview(region, column, day, stale);
  if (stale() || (map?.isOverview && slider.playing)) return;
  const asked = day ? regionDay(region.region, day, column.name, state.asOf) : null; // beside the map and its fields
  asked?.catch(() => {}); // told where it is awaited
  if (loadedRegion !== state.region) await loadRegion(region, framed.bounds, stale);
  if (stale()) return;
  slider.set(state.day || region.monitored_from);
  const domain = await domainFor(region, column);
  const read = await asked;
  if (stale()) return;
  told = read;
  drawLegend(column, domain, state.layer === "none" ? "" : !pictures.has(day) ? "none" : state.layer === "ndvi" ? "ndvi" : "");
  map?.setPicture(state.region, pictures.has(day) ? day : "", state.layer);
  map?.setValues(read ?? { values: new Map(), missed: new Map() }, domain);
  const n = fields.findIndex((each) => each.id === state.field);
  map?.choose(n < 0 ? null : n, state.field !== followed);
  followed = state.field;
  document.title = `${fields[n]?.name ?? state.region}, ${day ? dayName(day) : "no day"} – Satfields`;
  await panel(column, domain, stale);
  if (read && !slider.playing) announce(`${state.region}, ${dayName(day)}: ${countsOf(fields, read)}`);
}

/**
 * @param {Column} column
 * @param {Domain} domain
 * @param {() => boolean} stale
 */
async function panel(column, domain, stale) {
  const where = byId("panel");
  const field = fields.find((each) => each.id === state.field);
  if (state.field && !field) throw new Refused(404, `Region ${state.region} has no field ${state.field}.`);
  where.setAttribute("aria-label", field ? field.name : "Fields");
  if (field && state.day) {
    if (slider.playing) return;
    const close = () => void go({ field: "" }, "push");
    await showField(where, state, field, column, { close, stale, onDay: (day) => void go({ day }, "push") });
  } else {
    const list = fieldList(state, fields, told, column, domain, (id) => void go({ field: id }, "push").then(() => where.focus()));
    where.replaceChildren(...list.filter((each) => each instanceof Node));
  }
}

/**
 * The columns that can be chosen: those of the region's algorithm version.
 * @param {string} region
 */
async function loadColumns(region) {
  const found = numeric((await json("columns", { region })).columns);
  if (found.map(({ name }) => name).join() === columns.map(({ name }) => name).join()) return;
  columns = found;
  byId("column").replaceChildren(...columns.map((each) => h("option", { value: each.name }, titleOf(each.name))));
}

/**
 * @param {string} region
 * @returns {Promise<Frame>}
 */
async function frameOf(region) {
  const bounds = await boundsOf(region);
  const [many, drawn] = await Promise.all([hasMany(bounds), json(pathOf("regions", region, "pictures"))]);
  return { region, bounds, many, pictures: drawn.days };
}

/**
 * Show the day's fields in one picture: those of a region with many are there long before their polygons.
 * @param {any} region
 * @param {Column} column
 * @param {string} day
 * @param {() => boolean} stale
 */
async function showOverview(region, column, day, stale) {
  const domain = await domainFor(region, column);
  if (stale()) return;
  const factor = factorOf(column.name);
  /** @type {Record<string, string>} */
  const parameters = { low: String(domain.low / factor), high: String(domain.high / factor), dark: String(DARK.matches) };
  if (state.asOf) parameters["as-of"] = state.asOf;
  const path = pathOf("regions", region.region, "days", day, "columns", column.name, "picture");
  drawLegend(column, domain, "");
  slider.set(day);
  if (!map || (await map.setOverview(`${path}?${new URLSearchParams(parameters)}`))) return;
  await map.setOverview("");
  await ask(path, parameters); // it is refused again, and told why
}

/**
 * @param {any} region
 * @param {import("./region_day.js").Bounds} bounds
 * @param {() => boolean} stale
 */
async function loadRegion(region, bounds, stale) {
  const found = await fieldsOf(region.region, bounds);
  if (stale()) return;
  fields = search.fields = found;
  map?.setFields(fields);
  loadedRegion = region.region;
}

/**
 * The ends of a column's scale: one for all days of a region, so that colours can be compared.
 * @param {any} region
 * @param {Column} column
 */
async function domainFor(region, column) {
  const name = `${region.region} ${column.name}`;
  const kept = knownDomain(column) ?? domains.get(name);
  if (kept || !region.watermark) return kept ?? { low: 0, high: 1 };
  const { low, high } = await json(pathOf("regions", region.region, "columns", column.name, "scale"));
  const ends = low === null ? [] : [low, high];
  const domain = domainOf(ends.map((/** @type {number} */ end) => end * factorOf(column.name)));
  domains.set(name, domain);
  return domain;
}

/**
 * @param {string} day
 * @param {string} first
 * @param {string} last
 */
function clamp(day, first, last) {
  return !/^\d{4}-\d{2}-\d{2}$/.test(day) || day > last ? last : day < first ? first : day;
}

/** Set the controls as the state says. */
function controls() {
  const region = /** @type {HTMLSelectElement} */ (byId("region"));
  region.value = state.region;
  /** @type {HTMLSelectElement} */ (byId("column")).value = state.column;
  /** @type {HTMLInputElement} */ (byId("as-of")).value = state.asOf.replace("Z", "");
  byId("as-of-now").hidden = !state.asOf;
  document.body.classList.toggle("in-the-past", Boolean(state.asOf));
  for (const input of document.querySelectorAll("input[name=layer]")) {
    const radio = /** @type {HTMLInputElement} */ (input);
    radio.checked = radio.value === state.layer;
  }
}

function listen() {
  const on = (/** @type {string} */ id, /** @type {(value: string) => Partial<State>} */ change) =>
    byId(id).addEventListener("change", (event) => void go(change(/** @type {HTMLInputElement} */ (event.target).value), "push"));
  on("region", (region) => ({ region, field: "", day: "" }));
  on("column", (column) => ({ column }));
  on("as-of", (value) => ({ asOf: value && `${value.length === 16 ? `${value}:00` : value}Z` }));
  byId("as-of-now").addEventListener("click", () => void go({ asOf: "" }, "push"));
  byId("layers").addEventListener("change", (event) => void go({ layer: /** @type {any} */ (event.target).value }, "push"));
  addEventListener("popstate", () => {
    state = stateOf(location.search);
    void show();
  });
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || !link.matches(".views a, [data-inside]")) return;
    event.preventDefault();
    if (link.id === "view-map") return void go({ view: "map" }, "push");
    if (link.id === "view-regions") return void go({ view: "regions" }, "push");
    void go(stateOf(link.search), "push");
  });
  DARK.addEventListener("change", () => void show());
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && state.field && !byId("panel").hidden && event.target !== byId("search")) void go({ field: "" }, "push");
    if (event.key === "/" && !(event.target instanceof HTMLInputElement)) {
      event.preventDefault();
      byId("search").focus();
    }
  });
}

/** @param {string} why */
function askForKey(why) {
  const dialog = /** @type {HTMLDialogElement} */ (byId("key-dialog"));
  const input = /** @type {HTMLInputElement} */ (byId("key"));
  if (why) byId("key-why").textContent = why;
  input.value = "";
  dialog.showModal();
  return new Promise((/** @type {(value: void) => void} */ done) => {
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    byId("key-form").addEventListener("submit", () => {
      keepKey(input.value.trim());
      done();
    }, { once: true });
  });
}

async function makeMap() {
  const missing = byId("map-missing");
  if (document.documentElement.dataset["hasMap"] !== "true") {
    missing.append(h("h2", {}, "The map is not installed"), h("p", {}, "MapLibre GL is not among this service's files. Where Node.js is, `make page` fetches it. Lists, charts and regions work without it."));
  } else {
    try {
      return await FieldMap.make(byId("map"), (n) => void go({ field: n === null ? "" : fields[n]?.id ?? "" }, "push"), tip);
    } catch (error) {
      missing.append(h("h2", {}, "The map can't be drawn"), h("p", {}, "This browser has no WebGL, or it is switched off. Lists and charts work without it."));
    }
  }
  missing.hidden = false;
  byId("layers").hidden = true;
  return null;
}

/**
 * Tell of the field under the pointer.
 * @param {number | null} n
 * @param {number} x
 * @param {number} y
 */
function tip(n, x, y) {
  const box = byId("tip");
  const field = n === null ? undefined : fields[n];
  box.hidden = !field;
  if (!field) return;
  const row = told?.values.get(field.id);
  const missed = told?.missed.get(field.id);
  const value = row?.value ?? null;
  const state_ = missed ? `missed: ${causeWords(missed)}` : !row ? "no row" : `${statusWords(row.status)}${row.final ? "" : ", not final"}`;
  box.replaceChildren(h("strong", {}, field.name), h("span", { class: "number" }, value === null ? "" : ` ${shown(value)}`), h("br"), h("span", { class: "hint" }, state_));
  const room = byId("map").clientWidth - box.offsetWidth - 12;
  box.style.left = `${Math.max(8, Math.min(x + 14, room))}px`;
  box.style.top = `${Math.max(8, y - box.offsetHeight - 10)}px`;
}

async function start() {
  onKeyNeeded(askForKey);
  listen();
  views();
  try {
    regions = await allRegions();
  } catch (error) {
    notice(error instanceof Error ? error.message : String(error));
    return;
  }
  byId("region").append(...regions.map((each) => h("option", { value: each.region }, each.region)));
  await show();
}

/** What may have changed is asked for again when somebody comes back to the page. */
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") forget();
});

void start();
