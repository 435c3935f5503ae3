/** What the colours and marks of the map mean. */

import { byId, h, s } from "./dom.js";
import { VIRIDIS, shown, stepsOf, titleOf, unitOf } from "./scale.js";

/**
 * @param {import("./scale.js").Column} column
 * @param {import("./scale.js").Domain} domain
 */
export function drawLegend(column, domain) {
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
    h("ul", { class: "keys" }, key("no-value", "No value"), key("provisional", "Not final"), key("missed", "Missed")),
  );
}

/**
 * @param {string} kind
 * @param {string} label
 */
function key(kind, label) {
  return h("li", {}, h("span", { class: `swatch ${kind}`, "aria-hidden": "true" }), label);
}
