/** What the colours and marks of the map mean. */

import { byId, h, s } from "./dom.js";
import { VIRIDIS, shown, stepsOf, titleOf, unitOf } from "./scale.js";

/** Of the service's pictures of NDVI: at 0, a quarter, and so on to 1. */
const SCENE_NDVI = ["#debd9c", "#d0b75c", "#879d3f", "#377b36", "#033a22"];

/**
 * @param {import("./scale.js").Column} column
 * @param {import("./scale.js").Domain} domain
 * @param {"" | "ndvi" | "none"} scene NDVI has colours of its own; none: it is asked for, and the day has none
 */
export function drawLegend(column, domain, scene) {
  const width = 232;
  const stops = VIRIDIS.map((colour, n) => s("stop", { offset: n / (VIRIDIS.length - 1), "stop-color": colour }));
  const x = (/** @type {number} */ value) => ((value - domain.low) / (domain.high - domain.low)) * width;
  const steps = stepsOf(domain, 5).flatMap((value) => {
    const text = s("text", { x: x(value), y: 27 });
    text.textContent = shown(value);
    return [s("line", { x1: x(value), x2: x(value), y1: 10, y2: 14 }), text];
  });
  const ramp = s("svg", { viewBox: `-14 0 ${width + 28} 30`, width: width + 28, height: 30, class: "ramp", role: "img",
    "aria-label": `Colours from ${shown(domain.low)}, dark violet, to ${shown(domain.high)}, yellow` },
    s("defs", {}, s("linearGradient", { id: "viridis" }, ...stops)),
    s("rect", { width, height: 10, fill: "url(#viridis)" }), ...steps);
  const unit = unitOf(column);
  byId("legend").replaceChildren(
    h("p", { class: "legend-title" }, titleOf(column.name), unit && h("span", { class: "unit" }, ` ${unit}`)),
    h("p", { class: "hint" }, column.meaning.split(";")[0]?.split(", (")[0] ?? ""),
    ramp,
    h("ul", { class: "keys" }, key("cloudy", "Cloudy"), key("no-value", "No value"), key("provisional", "Not final"), key("missed", "Missed")),
    ...(scene === "ndvi" ? [h("p", { class: "scene-ndvi hint" }, "Scene: NDVI 0", sceneRamp(), "1")] : []),
    ...(scene === "none" ? [h("p", { class: "scene-ndvi hint" }, "There is no scene of this day.")] : []),
  );
}

function sceneRamp() {
  const width = 90 / SCENE_NDVI.length;
  return s("svg", { width: 90, height: 8, "aria-hidden": "true" }, ...SCENE_NDVI.map((fill, n) => s("rect", { x: n * width, width: width + 0.5, height: 8, fill })));
}

/**
 * @param {string} kind
 * @param {string} label
 */
function key(kind, label) {
  return h("li", {}, h("span", { class: `swatch ${kind}`, "aria-hidden": "true" }), label);
}
