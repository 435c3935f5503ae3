/** The regions: how far each is, what it lacks, what was corrected last. */

import { pages } from "./api.js";
import { dayName } from "./days.js";
import { h } from "./dom.js";
import { instantName } from "./field_panel.js";
import { causeWords } from "./region_day.js";

/**
 * All regions that may be seen.
 * @returns {Promise<any[]>}
 */
export async function allRegions() {
  return (await pages("regions", { limit: 200 })).flatMap((page) => page.regions);
}

/**
 * @param {HTMLElement} view
 * @param {any[]} regions
 * @param {(region: string) => string} address of a region's map
 */
export function showRegions(view, regions, address) {
  const rows = regions.map((each) => h("tr", {},
    h("th", { scope: "row" }, h("a", { href: address(each.region), "data-inside": true }, each.region), !each.active && h("span", { class: "hint" }, " paused")),
    cell("Closed through", each.watermark ? dayName(each.watermark) : "–"),
    cell("Final through", each.final_through ? dayName(each.final_through) : "–"),
    cell("Complete", percent(each.completeness), "number"),
    cell("Days behind", each.lag_days.toLocaleString("en"), "number"),
    cell("Missed field-days", backlog(each.backlog)),
    cell("Newest corrections", corrections(each.newest_corrections))));
  const heads = ["Region", "Closed through", "Final through", "Complete", "Days behind", "Missed field-days", "Newest corrections"];
  view.replaceChildren(
    h("h2", {}, "Regions"),
    regions.length === 0
      ? h("p", {}, "There is no region yet, or the key sees none.")
      : h("table", { class: "regions" },
        h("thead", {}, h("tr", {}, ...heads.map((head) => h("th", { scope: "col" }, head)))),
        h("tbody", {}, ...rows)));
}

/**
 * @param {string} label for narrow screens, where the row is a card
 * @param {string | Node} content
 * @param {string} [kind]
 */
function cell(label, content, kind) {
  return h("td", { "data-label": label, class: kind ?? null }, content);
}

/** Never 100 % while something is missed. @param {number} share */
function percent(share) {
  return `${share === 1 ? 100 : Math.min(99.9, Math.floor(share * 1000) / 10)} %`;
}

/** @param {any[]} causes */
function backlog(causes) {
  if (!causes.length) return "none";
  return h("ul", { class: "plain" }, ...causes.map((each) =>
    h("li", {}, `${each.field_days.toLocaleString("en")}: ${causeWords(each.cause)}`,
      h("span", { class: "hint" }, ` ${dayName(each.first_day)} to ${dayName(each.last_day)}`))));
}

/** @param {any[]} newest */
function corrections(newest) {
  if (!newest.length) return "none";
  return h("ul", { class: "plain" }, ...newest.slice(0, 3).map((each) =>
    h("li", {}, `${each.rows.toLocaleString("en")} rows of ${dayName(each.first_day)} to ${dayName(each.last_day)}`,
      h("span", { class: "hint" }, ` ${instantName(each.committed_at)}`))));
}
