/** The map: fields coloured by their values, the scene under them, nothing from anywhere else. */

import { BASE, keyHeaders, pathOf } from "./api.js";
import { colourExpression } from "./scale.js";

/** @typedef {import("./region_day.js").Bounds} Bounds */
/** @typedef {import("./region_day.js").FieldInfo} FieldInfo */
/** @typedef {import("./region_day.js").RegionDay} RegionDay */
/** @typedef {import("./scale.js").Domain} Domain */

const EMPTY = /** @type {import("geojson").FeatureCollection} */ ({ type: "FeatureCollection", features: [] });
const HATCH = 8; // pixels from line to line
const DARK = matchMedia("(prefers-color-scheme: dark)");

/** @param {string} name of a feature's state */
const state = (name) => ["boolean", ["feature-state", name], false];

/** Where the colours of the page are. @param {string} name */
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Dark and light lines, to be seen on every colour. */
function hatch() {
  const ratio = 2;
  const size = HATCH * ratio;
  const data = new Uint8ClampedArray(size * size * 4);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const at = (x + y) % size;
      const light = at < 2 ? 20 : at < 4 ? 255 : -1;
      if (light >= 0) data.set([light, light, light, light === 20 ? 190 : 150], (y * size + x) * 4);
    }
  }
  return { image: { width: size, height: size, data }, ratio };
}

/** A map of one region. */
export class FieldMap {
  /**
   * @param {HTMLElement} container
   * @param {(n: number | null) => void} choose a field was clicked; null: none
   * @param {(n: number | null, x: number, y: number) => void} hover a field is under the pointer
   */
  static async make(container, choose, hover) {
    const address = new URL("./third_party/maplibre-gl.mjs", import.meta.url).href;
    const maplibre = /** @type {typeof import("maplibre-gl")} */ (await import(address));
    const map = new maplibre.Map({
      container,
      style: { version: 8, sources: {}, layers: [{ id: "ground", type: "background", paint: { "background-color": css("--ground") } }] },
      attributionControl: false,
      dragRotate: false,
      pitchWithRotate: false,
      maxPitch: 0,
      renderWorldCopies: false,
      fadeDuration: 0,
      transformRequest: (url) => (url.startsWith(BASE.href) ? { url, headers: keyHeaders() } : { url }),
    });
    map.touchZoomRotate.disableRotation();
    map.keyboard.disableRotation();
    map.addControl(new maplibre.NavigationControl({ showCompass: false }), "top-right");
    map.addControl(new maplibre.ScaleControl({ maxWidth: 90 }), "bottom-right");
    await map.once("load");
    return new FieldMap(map, choose, hover);
  }

  /**
   * @param {import("maplibre-gl").Map} map
   * @param {(n: number | null) => void} choose
   * @param {(n: number | null, x: number, y: number) => void} hover
   */
  constructor(map, choose, hover) {
    this.map = map;
    /** @type {FieldInfo[]} */
    this.fields = [];
    /** @type {number | null} */
    this.chosen = null;
    /** @type {Bounds | null} */
    this.bounds = null;
    this.picture = "";
    this.addLayers();
    map.on("click", (event) => choose(this.at(event.point)));
    map.on("mousemove", (event) => {
      const n = this.at(event.point);
      map.getCanvas().style.cursor = n === null ? "" : "pointer";
      hover(n, event.point.x, event.point.y);
    });
    map.on("mouseout", () => hover(null, 0, 0));
    map.on("movestart", () => hover(null, 0, 0));
    DARK.addEventListener("change", () => this.paint());
  }

  addLayers() {
    const { image, ratio } = hatch();
    this.map.addImage("hatch", image, { pixelRatio: ratio });
    this.map.addSource("region", { type: "geojson", data: EMPTY });
    this.map.addSource("fields", { type: "geojson", data: EMPTY, tolerance: 0.2 });
    /** @type {any[]} */
    const layers = [
      { id: "region", type: "line", source: "region", paint: { "line-width": 1, "line-dasharray": [3, 3] } },
      { id: "values", type: "fill", source: "fields", paint: { "fill-antialias": false } },
      { id: "provisional", type: "fill", source: "fields",
        paint: { "fill-pattern": "hatch", "fill-opacity": ["case", state("provisional"), 0.8, 0], "fill-antialias": false } },
      { id: "edges", type: "line", source: "fields", paint: { "line-width": ["interpolate", ["linear"], ["zoom"], 9, 0.3, 13, 1] } },
      { id: "rims-case", type: "line", source: "fields",
        paint: { "line-color": "#111111", "line-width": 6 }, layout: { visibility: "none" } },
      { id: "rims", type: "line", source: "fields", paint: { "line-width": 4 }, layout: { visibility: "none" } },
      { id: "missed", type: "line", source: "fields",
        paint: { "line-color": css("--missed"), "line-width": ["case", state("missed"), 2.5, 0] } },
      { id: "chosen-case", type: "line", source: "fields",
        paint: { "line-color": "#ffffff", "line-width": ["case", state("chosen"), 6, 0] } },
      { id: "chosen", type: "line", source: "fields",
        paint: { "line-color": "#111111", "line-width": ["case", state("chosen"), 3, 0] } },
    ];
    layers.forEach((layer) => this.map.addLayer(layer));
    this.paint();
  }

  /** The colours that follow light and dark. */
  paint() {
    this.map.setPaintProperty("ground", "background-color", css("--ground"));
    this.map.setPaintProperty("region", "line-color", css("--soft-ink"));
    this.map.setPaintProperty("edges", "line-color", css("--edge"));
    this.map.setPaintProperty("missed", "line-color", css("--missed"));
  }

  /** @param {import("maplibre-gl").PointLike} point */
  at(point) {
    const [found] = this.map.queryRenderedFeatures(point, { layers: ["values"] });
    return found ? Number(found.id) : null;
  }

  /**
   * Show another region.
   * @param {Bounds} bounds
   * @param {FieldInfo[]} fields
   */
  setRegion(bounds, fields) {
    this.bounds = bounds;
    this.fields = fields;
    this.map.removeFeatureState({ source: "fields" });
    this.chosen = null;
    const { west, south, east, north } = bounds;
    const ring = [[west, south], [east, south], [east, north], [west, north], [west, south]];
    this.source("region").setData({ type: "Feature", properties: {}, geometry: { type: "LineString", coordinates: ring } });
    this.source("fields").setData({ type: "FeatureCollection", features: fields.map((field) => field.feature) });
    const { clientWidth: width } = this.map.getContainer();
    const padding = width > 800 ? { top: 28, bottom: 28, left: 316, right: 60 } : { top: 60, bottom: 112, left: 16, right: 16 };
    this.map.fitBounds([west, south, east, north], { padding, animate: false });
  }

  /**
   * @param {string} name
   * @returns {import("maplibre-gl").GeoJSONSource}
   */
  source(name) {
    return /** @type {import("maplibre-gl").GeoJSONSource} */ (this.map.getSource(name));
  }

  /**
   * Colour the fields.
   * @param {RegionDay} day
   * @param {Domain} domain
   */
  setValues(day, domain) {
    this.fields.forEach((field, n) => {
      const told = day.values.get(field.id);
      this.map.setFeatureState({ source: "fields", id: n }, {
        value: told?.value ?? null,
        cloudy: told?.status === "cloudy",
        provisional: told ? !told.final : false,
        missed: day.missed.has(field.id),
      });
    });
    const value = ["feature-state", "value"];
    /** @type {any} */
    const colour = ["case", state("cloudy"), css("--cloud"), // even where a value of days before is carried over it
      ["==", ["typeof", value], "number"], colourExpression(["to-number", value, 0], domain), css("--no-value")];
    this.map.setPaintProperty("values", "fill-color", colour);
    this.map.setPaintProperty("rims", "line-color", colour);
  }

  /**
   * Mark a field.
   * @param {number | null} n
   * @param {boolean} show move to where it is
   */
  choose(n, show) {
    if (this.chosen !== null) this.map.setFeatureState({ source: "fields", id: this.chosen }, { chosen: false });
    this.chosen = n;
    if (n === null) return;
    this.map.setFeatureState({ source: "fields", id: n }, { chosen: true });
    const [first] = pairs(this.fields[n]?.feature.geometry.coordinates ?? []);
    if (!show || !first) return;
    const at = /** @type {[number, number]} */ (first);
    if (!this.map.getBounds().contains(at)) this.map.easeTo({ center: at });
  }

  /**
   * Lay a day's scene under the fields.
   * @param {string} region
   * @param {string} day empty: none
   * @param {"none" | "truecolor" | "ndvi"} layer
   */
  setPicture(region, day, layer) {
    const url = day && layer !== "none" ? new URL(`${pathOf("regions", region, "days", day, "picture")}?layer=${layer}`, BASE).href : "";
    // Over a scene the colours are rims: mixed with what lies under them, they would no longer be those of the legend.
    this.map.setPaintProperty("values", "fill-opacity", url ? 0 : 1);
    for (const rims of ["rims-case", "rims"]) this.map.setLayoutProperty(rims, "visibility", url ? "visible" : "none");
    if (url === this.picture) return;
    this.picture = url;
    if (this.map.getLayer("scene")) this.map.removeLayer("scene");
    if (this.map.getSource("scene")) this.map.removeSource("scene");
    if (!url || !this.bounds) return;
    const { west, south, east, north } = this.bounds;
    this.map.addSource("scene", { type: "image", url, coordinates: [[west, north], [east, north], [east, south], [west, south]] });
    this.map.addLayer({ id: "scene", type: "raster", source: "scene", paint: { "raster-fade-duration": 0 } }, "region");
  }
}

/**
 * The points of nested coordinates.
 * @param {any[]} coordinates
 * @returns {number[][]}
 */
function pairs(coordinates) {
  return typeof coordinates[0] === "number" ? [coordinates] : coordinates.flatMap((each) => pairs(each));
}
