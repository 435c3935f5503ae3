/** What the map shows of a region: its rectangle and fields, and a day's values of one column. */

import { json, pages, pathOf } from "./api.js";
import { factorOf } from "./scale.js";

/** @typedef {import("geojson").Feature<import("geojson").Polygon | import("geojson").MultiPolygon>} FieldFeature */
/** @typedef {{id: string, name: string, crop: string | null, area: number, feature: FieldFeature}} FieldInfo */
/** @typedef {{west: number, south: number, east: number, north: number}} Bounds */
/** @typedef {{value: number | null, status: string, final: boolean}} FieldValue */
/** @typedef {{values: Map<string, FieldValue>, missed: Map<string, string>}} RegionDay */

const PAGE = 10_000;

/** So many fields at most are drawn as polygons; of more, a picture is shown until few enough are in view. */
export const MOST_DRAWN = 10_000;

/**
 * The rectangle of a region; its east is beyond 180 where it crosses the antimeridian.
 * @param {string} region
 * @returns {Promise<Bounds>}
 */
export async function boundsOf(region) {
  const item = await json(pathOf("collections", "regions", "items", region));
  /** @type {number[][]} */
  const points = item.geometry.type === "Polygon" ? item.geometry.coordinates.flat(1) : item.geometry.coordinates.flat(2);
  const longitudes = points.map(([x]) => x ?? 0);
  const latitudes = points.map(([, y]) => y ?? 0);
  let [west, east] = [Math.min(...longitudes), Math.max(...longitudes)];
  if (item.geometry.type === "MultiPolygon") {
    west = Math.min(...longitudes.filter((x) => x > 0));
    east = Math.max(...longitudes.filter((x) => x < 0)) + 360;
  }
  return { west, east, south: Math.min(...latitudes), north: Math.max(...latitudes) };
}

/** @param {Bounds} bounds */
function bboxOf(bounds) {
  const east = bounds.east > 180 ? bounds.east - 360 : bounds.east;
  return [bounds.west, bounds.south, east, bounds.north].join(",");
}

/**
 * Whether more fields lie in a rectangle than are drawn.
 * @param {Bounds} bounds
 * @returns {Promise<boolean>}
 */
export async function hasMany(bounds) {
  const { numberMatched } = await json("collections/fields/items", { bbox: bboxOf(bounds), limit: 1, f: "GeoJSON" });
  return numberMatched > MOST_DRAWN;
}

/**
 * The fields of a region, by id.
 * @param {string} region
 * @param {Bounds} bounds
 * @returns {Promise<FieldInfo[]>}
 */
export async function fieldsOf(region, bounds) {
  /** @type {FieldInfo[]} */
  const fields = [];
  const told = await pages("collections/fields/items", { bbox: bboxOf(bounds), limit: PAGE, f: "GeoJSON" });
  for (const { properties, geometry } of told.flatMap((page) => page.features)) {
    if (!properties.regions.includes(region) || !geometry) continue;
    if (bounds.east > 180) unwrap(geometry.coordinates);
    const kept = /** @type {FieldFeature} */ ({ type: "Feature", id: fields.length, properties: {}, geometry });
    fields.push({ id: properties.external_id, name: properties.name, crop: properties.crop_code, area: properties.area_ha, feature: kept });
  }
  return fields;
}

/**
 * Coordinates west of the antimeridian follow those east of it.
 * @param {any[]} coordinates
 */
function unwrap(coordinates) {
  if (typeof coordinates[0] === "number") {
    if (coordinates[0] < 0) coordinates[0] += 360;
  } else {
    coordinates.forEach(unwrap);
  }
}

/**
 * A day's values of a column, as they are shown.
 * @param {string} region
 * @param {string} day
 * @param {string} column
 * @param {string} asOf
 * @returns {Promise<RegionDay>}
 */
export async function regionDay(region, day, column, asOf) {
  const path = pathOf("regions", region, "days", day, "columns");
  const [told, status, missed] = await Promise.all([
    json(`${path}/${column}`, { f: "json", "as-of": asOf }),
    json(`${path}/status`, { f: "json", "as-of": asOf }),
    asOf ? [] : pages(pathOf("regions", region, "misses"), { day, limit: PAGE }),
  ]);
  /** @type {Map<string, FieldValue>} */
  const values = new Map();
  /** @type {Map<string, string>} */
  const statuses = new Map(status.field.map((/** @type {string} */ id, /** @type {number} */ n) => [id, status.value[n]]));
  const factor = factorOf(column);
  told.field.forEach((/** @type {string} */ id, /** @type {number} */ n) => {
    const value = told.value[n];
    values.set(id, { value: value === null ? null : value * factor, status: statuses.get(id) ?? "", final: told.final[n] });
  });
  const misses = missed.flatMap((page) => page.misses);
  return { values, missed: new Map(misses.map((/** @type {{field: string, cause: string}} */ each) => [each.field, each.cause])) };
}

/** @type {Record<string, string>} */
const STATUSES = {
  clear: "clear view",
  partial: "partly clear view",
  swath_edge: "at the edge of the swath",
  cloudy: "cloudy",
  hidden: "hidden by snow or water",
  outside_swath: "outside of the swath",
  region_edge: "at the edge of the region",
  no_overpass: "no overpass",
  no_scene: "no scene came",
  too_small: "too small for a cell",
};

/** @type {Record<string, string>} */
const CAUSES = {
  late_field: "the field was registered late",
  late_region: "the region was registered late",
  late_scene: "the scene is late",
  revised_field: "the field was corrected",
  revised_scene: "the scene was corrected",
  revised_algorithm: "the algorithm changed",
  processing_error: "processing failed",
  carry: "an earlier day was corrected",
};

/** @param {string} status */
export function statusWords(status) {
  return STATUSES[status] ?? status.replaceAll("_", " ");
}

/** @param {string} cause */
export function causeWords(cause) {
  return CAUSES[cause] ?? cause.replaceAll("_", " ");
}
