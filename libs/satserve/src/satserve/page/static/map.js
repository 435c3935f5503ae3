/** The map: fields coloured by their values, the scene under them, nothing from anywhere else. */

import { BASE, keyHeaders, pathOf } from "./api.js";
import { MOST_DRAWN } from "./region_day.js";
import { colourExpression } from "./scale.js";

/** @typedef {import("./region_day.js").Bounds} Bounds */
/** @typedef {import("./region_day.js").FieldInfo} FieldInfo */
/** @typedef {import("./region_day.js").RegionDay} RegionDay */
/** @typedef {import("./scale.js").Domain} Domain */

const EMPTY = /** @type {import("geojson").FeatureCollection} */ ({ type: "FeatureCollection", features: [] });
/** @type {RegionDay} */
const NO_DAY = { values: new Map(), missed: new Map() };
const HATCH = 8; // pixels from line to line
const FIELD_ZOOM = 14; // at which a field among many is shown
export const DARK = matchMedia("(prefers-color-scheme: dark)");

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
    this.picture = this.overview = "";
    /** @type {Float64Array} west, south, east, north of each field */
    this.boxes = new Float64Array();
    /** @type {number[]} the fields that are drawn */
    this.drawn = [];
    this.day = NO_DAY;
    this.addLayers();
    map.on("moveend", () => this.drawInView());
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
   * Show another region, without its fields so far.
   * @param {Bounds} bounds
   */
  setRegion(bounds) {
    this.bounds = bounds;
    this.day = NO_DAY;
    this.setFields([]);
    void this.setOverview("");
    const { west, south, east, north } = bounds;
    const ring = [[west, south], [east, south], [east, north], [west, north], [west, south]];
    this.source("region").setData({ type: "Feature", properties: {}, geometry: { type: "LineString", coordinates: ring } });
    const { clientWidth: width } = this.map.getContainer();
    const padding = width > 800 ? { top: 28, bottom: 28, left: 316, right: 60 } : { top: 60, bottom: 112, left: 16, right: 16 };
    this.map.fitBounds([west, south, east, north], { padding, animate: false });
  }

  /** @param {FieldInfo[]} fields of the region */
  setFields(fields) {
    this.fields = fields;
    this.chosen = null;
    this.boxes = new Float64Array(4 * fields.length);
    fields.forEach((field, n) => this.boxes.set(boxOf(field), 4 * n));
    this.draw(fields.length > MOST_DRAWN ? this.inView() : fields.map((_, n) => n));
  }

  /** Of many fields, draw those in view, if they are few enough. */
  drawInView() {
    if (this.fields.length <= MOST_DRAWN) return;
    const numbers = this.inView();
    if (numbers.length || this.drawn.length) this.draw(numbers);
  }

  /** The fields in view; none where they are too many. */
  inView() {
    const view = this.map.getBounds();
    const [west, south, east, north] = [view.getWest(), view.getSouth(), view.getEast(), view.getNorth()];
    const found = [];
    for (let n = 0; n < this.fields.length && found.length <= MOST_DRAWN; n++) {
      const [left = 0, bottom = 0, right = 0, top = 0] = this.boxes.subarray(4 * n, 4 * n + 4);
      if (left <= east && right >= west && bottom <= north && top >= south) found.push(n);
    }
    return found.length > MOST_DRAWN ? [] : found;
  }

  /** @param {number[]} numbers of the fields to be drawn as polygons */
  draw(numbers) {
    this.drawn = numbers;
    this.map.removeFeatureState({ source: "fields" });
    this.source("fields").setData({ type: "FeatureCollection", features: numbers.flatMap((n) => this.fields[n]?.feature ?? []) });
    this.showStates();
    this.showOverview();
  }

  /** Whether all fields are in a picture, and none is drawn as a polygon. */
  get isOverview() {
    return Boolean(this.overview) && !this.drawn.length && !this.picture;
  }

  /**
   * Show all fields in one picture where they are not drawn as polygons.
   * @param {string} path of the picture, below the service; empty: none
   * @returns {Promise<boolean>} whether it could be had; when it is there
   */
  async setOverview(path) {
    const { map, bounds } = this;
    if (path === this.overview) return true;
    this.overview = path;
    this.day = NO_DAY; // what is drawn has other values until they are read
    this.showStates();
    const source = /** @type {import("maplibre-gl").ImageSource | undefined} */ (map.getSource("overview"));
    if (!path || !bounds) {
      if (source) map.removeLayer("overview").removeSource("overview");
      return true;
    }
    const url = new URL(path, BASE).href;
    const { west, south, east, north } = bounds;
    if (source) {
      source.updateImage({ url });
    } else {
      map.addSource("overview", { type: "image", url, coordinates: [[west, north], [east, north], [east, south], [west, south]] });
      const paint = /** @type {const} */ ({ "raster-fade-duration": 0, "raster-resampling": "nearest" });
      map.addLayer({ id: "overview", type: "raster", source: "overview", paint }, "values");
    }
    this.showOverview();
    return !this.isOverview || this.settled();
  }

  /**
   * @returns {Promise<boolean>} whether all is drawn; false where something of it failed
   */
  settled() {
    const { map } = this;
    return new Promise((done) => {
      const end = (/** @type {{type: string}} */ { type }) => {
        map.off("idle", end).off("error", end);
        done(type === "idle");
      };
      map.on("idle", end);
      map.on("error", end);
      map.triggerRepaint();
    });
  }

  showOverview() {
    if (this.map.getLayer("overview")) this.map.setLayoutProperty("overview", "visibility", this.isOverview ? "visible" : "none");
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
    this.day = day;
    this.showStates();
    const value = ["feature-state", "value"];
    /** @type {any} */
    const colour = ["case", state("cloudy"), css("--cloud"), // even where a value of days before is carried over it
      ["==", ["typeof", value], "number"], colourExpression(["to-number", value, 0], domain), css("--no-value")];
    this.map.setPaintProperty("values", "fill-color", colour);
    this.map.setPaintProperty("rims", "line-color", colour);
  }

  /** Of the fields that are drawn: what the day says of them, and which is chosen. */
  showStates() {
    for (const n of this.drawn) {
      const id = this.fields[n]?.id ?? "";
      const told = this.day.values.get(id);
      this.map.setFeatureState({ source: "fields", id: n }, {
        value: told?.value ?? null,
        cloudy: told?.status === "cloudy",
        provisional: told ? !told.final : false,
        missed: this.day.missed.has(id),
        chosen: n === this.chosen,
      });
    }
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
    if (!show) return;
    const [west = 0, south = 0, east = 0, north = 0] = this.boxes.subarray(4 * n, 4 * n + 4);
    if (!this.drawn.includes(n)) this.map.fitBounds([west, south, east, north], { maxZoom: FIELD_ZOOM, animate: false });
    else if (!this.map.getBounds().contains([west, south])) this.map.easeTo({ center: [west, south] });
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
    this.showOverview();
    if (this.map.getLayer("scene")) this.map.removeLayer("scene");
    if (this.map.getSource("scene")) this.map.removeSource("scene");
    if (!url || !this.bounds) return;
    const { west, south, east, north } = this.bounds;
    this.map.addSource("scene", { type: "image", url, coordinates: [[west, north], [east, north], [east, south], [west, south]] });
    this.map.addLayer({ id: "scene", type: "raster", source: "scene", paint: { "raster-fade-duration": 0 } }, "region");
  }
}

/**
 * West, south, east and north of a field.
 * @param {FieldInfo} field
 */
function boxOf(field) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (const [x = 0, y = 0] of pairs(field.feature.geometry.coordinates)) {
    box[0] = Math.min(box[0] ?? x, x);
    box[1] = Math.min(box[1] ?? y, y);
    box[2] = Math.max(box[2] ?? x, x);
    box[3] = Math.max(box[3] ?? y, y);
  }
  return box;
}

/**
 * The points of nested coordinates.
 * @param {any[]} coordinates
 * @returns {number[][]}
 */
function pairs(coordinates) {
  return typeof coordinates[0] === "number" ? [coordinates] : coordinates.flatMap((each) => pairs(each));
}
