/** A field's season as a chart: what was seen, the smoothed line, what was corrected, what clouds hid. */

import { s } from "./dom.js";
import { dayName, dayOf, monthsOf } from "./days.js";
import { shown, stepsOf } from "./scale.js";

/** @typedef {{day: number, value: number}} Point */
/**
 * @typedef {object} Season
 * @property {number} first
 * @property {number} last
 * @property {(Point & {partial: boolean})[]} observed
 * @property {"observed" | "line"} main which of them the column is
 * @property {Point[]} line one value a day, where there is a state
 * @property {Point[]} before values that corrections replaced
 * @property {{label: string, points: Point[]}[]} earlier seasons before, moved to this one's months
 * @property {number[]} cloudy
 * @property {number[]} missing days without a row, or missed
 * @property {number} openFrom the first day that is not final; Infinity: none
 */

const HEIGHT = 236;
const EDGE = { left: 38, right: 10, top: 12, bottom: 46 };

/**
 * @param {Season} season
 * @param {{width: number, selected: number, title: string, onDay: (day: number) => void}} options
 * @returns {SVGElement}
 */
export function chart(season, { width, selected, title, onDay }) {
  const days = Math.max(1, season.last - season.first);
  const inner = width - EDGE.left - EDGE.right;
  const bottom = HEIGHT - EDGE.bottom;
  const values = [season.observed, season.line, season.before, ...season.earlier.map((each) => each.points)].flat().map(({ value }) => value);
  const domain = spanOf(values);
  const x = (/** @type {number} */ day) => EDGE.left + ((day - season.first) / days) * inner;
  const y = (/** @type {number} */ value) => bottom - ((value - domain.low) / (domain.high - domain.low)) * (bottom - EDGE.top);
  const path = (/** @type {Point[]} */ points, /** @type {string} */ kind) =>
    points.length > 0 && s("path", { class: kind, d: linesOf(points).map((line) => `M${line.map((p) => `${x(p.day).toFixed(1)} ${y(p.value).toFixed(1)}`).join("L")}`).join("") });
  const mark = (/** @type {string} */ kind, /** @type {number} */ high) => (/** @type {number} */ day) =>
    s("rect", { class: kind, x: x(day) - Math.max(1, inner / days / 2 - 0.5), y: bottom + 4, width: Math.max(2, inner / days - 1), height: high });

  const open = season.openFrom <= season.last &&
    s("rect", { class: "open", x: x(season.openFrom), y: EDGE.top, width: Math.max(2, x(season.last) - x(season.openFrom)), height: bottom - EDGE.top });
  const cursor = s("g", { class: "cursor" });
  const svg = s("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, class: "chart", role: "img", "aria-label": wordsOf(season, title) },
    open || null,
    ...axes(season, domain, { x, y, bottom, width }),
    ...season.earlier.map((each) => path(each.points, "earlier")),
    path(season.before, "before"),
    path(season.line, "smoothed"),
    ...season.observed.map((p) => s("circle", { class: p.partial ? "seen partial" : "seen", cx: x(p.day), cy: y(p.value), r: 2.8 })),
    ...season.cloudy.map(mark("cloudy", 6)), ...season.missing.map(mark("gone", 6)),
    cursor);

  const point = (/** @type {number} */ day) => {
    const told = season[season.main].find((p) => p.day === day);
    const label = s("text", { x: Math.min(Math.max(x(day), EDGE.left + 54), width - 60), y: 10, class: "readout" });
    label.textContent = `${dayName(dayOf(day))}  ${told ? shown(told.value) : ""}`;
    cursor.replaceChildren(s("line", { x1: x(day), x2: x(day), y1: EDGE.top + 2, y2: bottom }), label);
    if (told) cursor.append(s("circle", { cx: x(day), cy: y(told.value), r: 4 }));
  };
  const rest = () => (selected >= season.first && selected <= season.last ? point(selected) : cursor.replaceChildren());
  const dayAt = (/** @type {PointerEvent} */ event) => {
    const left = (event.clientX - svg.getBoundingClientRect().left) * (width / svg.getBoundingClientRect().width);
    return Math.min(season.last, Math.max(season.first, Math.round(season.first + ((left - EDGE.left) / inner) * days)));
  };
  svg.addEventListener("pointermove", (event) => point(dayAt(event)));
  svg.addEventListener("pointerleave", rest);
  svg.addEventListener("pointerup", (event) => onDay(dayAt(event)));
  rest();
  return svg;
}

/**
 * @param {Season} season
 * @param {{low: number, high: number}} domain
 * @param {{x: (day: number) => number, y: (value: number) => number, bottom: number, width: number}} place
 */
function axes(season, domain, { x, y, bottom, width }) {
  const text = (/** @type {Record<string, string | number>} */ at, /** @type {string} */ words) => {
    const label = s("text", at);
    label.textContent = words;
    return label;
  };
  const rows = stepsOf(domain, 4).flatMap((value) => [
    s("line", { class: "grid", x1: EDGE.left, x2: width - EDGE.right, y1: y(value), y2: y(value) }),
    text({ x: EDGE.left - 6, y: y(value) + 4, class: "axis end" }, shown(value)),
  ]);
  const months = monthsOf(season.first, season.last, Math.floor((width - EDGE.left) / 44));
  return [...rows, ...months.map(({ day, label }) => text({ x: x(day), y: bottom + 27, class: "axis" }, label))];
}

/**
 * Ends of the axis of values.
 * @param {number[]} values
 */
function spanOf(values) {
  if (!values.length) return { low: 0, high: 1 };
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const room = (high - low || 1) * 0.08;
  return { low: low >= 0 && low < 0.3 * high ? 0 : low - room, high: high + room };
}

/**
 * Lines of days without a gap.
 * @param {Point[]} points by day
 */
function linesOf(points) {
  /** @type {Point[][]} */
  const lines = [];
  for (const point of points) {
    const line = lines.at(-1);
    const last = line?.at(-1);
    if (line && last && point.day === last.day + 1) line.push(point);
    else lines.push([point]);
  }
  return lines;
}

/**
 * The chart in a sentence, for who does not see it.
 * @param {Season} season
 * @param {string} title
 */
function wordsOf(season, title) {
  const points = /** @type {Point[]} */ (season[season.main]);
  const highest = points.reduce((a, b) => (b.value > a.value ? b : a), points[0] ?? { day: 0, value: NaN });
  const peak = points.length ? `highest ${shown(highest.value)} on ${dayName(dayOf(highest.day))}` : "no value";
  return `${title} from ${dayName(dayOf(season.first))} to ${dayName(dayOf(season.last))}: ${season.observed.length} days seen, ${season.cloudy.length} cloudy, ${peak}` +
    (season.before.length ? `, ${season.before.length} values corrected` : "");
}
