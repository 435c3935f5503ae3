/** Days as text and as numbers, and the slider of days. */

import { byId, s } from "./dom.js";

const MS = 86_400_000;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const PLAY_MS = 350;

/**
 * The number of a day.
 * @param {string} day as YYYY-MM-DD
 */
export function numberOf(day) {
  return Math.round(Date.parse(`${day}T00:00:00Z`) / MS);
}

/**
 * The day of a number.
 * @param {number} number
 */
export function dayOf(number) {
  return new Date(number * MS).toISOString().slice(0, 10);
}

/**
 * A day for people.
 * @param {string} day
 */
export function dayName(day) {
  const [year, month, date] = day.split("-");
  return `${Number(date)} ${MONTHS[Number(month) - 1]} ${year}`;
}

/**
 * The first days of months in a span, as many as there is room for.
 * @param {number} first
 * @param {number} last
 * @param {number} most
 * @returns {{day: number, label: string}[]}
 */
export function monthsOf(first, last, most) {
  const months = [];
  const start = new Date(first * MS);
  for (let n = 0; ; n++) {
    const at = Date.UTC(start.getUTCFullYear(), start.getUTCMonth() + n, 1) / MS;
    if (at > last) break;
    const month = new Date(at * MS).getUTCMonth();
    if (at >= first) months.push({ day: at, label: MONTHS[month] ?? "", month, year: new Date(at * MS).getUTCFullYear() });
  }
  const every = [1, 2, 3, 6, 12, 24].find((step) => months.length / step <= most) ?? 48;
  return months
    .filter(({ month, year }) => (year * 12 + month) % every === 0)
    .map(({ day, label, month, year }) => ({ day, label: month === 0 || every >= 12 ? String(year) : label }));
}

/** The slider of days, with its button to play. */
export class DaySlider {
  /**
   * @param {(day: string, settled: boolean) => Promise<void>} show shows a day; settled: the slider rests there
   */
  constructor(show) {
    this.show = show;
    /** @type {HTMLInputElement} */
    this.input = byId("day");
    /** @type {HTMLButtonElement} */
    this.button = byId("play");
    this.first = 0;
    this.playing = false;
    this.input.addEventListener("input", () => this.move(false));
    this.input.addEventListener("change", () => this.move(true));
    this.button.addEventListener("click", () => (this.playing ? this.move(true) : void this.play()));
  }

  get day() {
    return dayOf(this.first + Number(this.input.value));
  }

  /** @param {boolean} settled */
  move(settled) {
    this.stop();
    this.name();
    void this.show(this.day, settled);
  }

  /**
   * The days that there are.
   * @param {string} first
   * @param {string} last
   * @param {string[]} scenes days with a scene
   */
  span(first, last, scenes) {
    this.first = numberOf(first);
    const count = numberOf(last) - this.first;
    this.input.max = String(count);
    this.input.disabled = this.button.disabled = count < 1;
    const share = (/** @type {number} */ day) => `${count ? ((day - this.first) / count) * 100 : 50}%`;
    const lines = scenes
      .map(numberOf)
      .filter((day) => day >= this.first && day <= this.first + count)
      .map((day) => s("line", { x1: share(day), x2: share(day), y1: 0, y2: 5 }));
    byId("ticks").replaceChildren(s("svg", { width: "100%", height: 5 }, ...lines));
    const most = Math.max(2, Math.floor(byId("months").clientWidth / 48));
    const labels = monthsOf(this.first, this.first + count, most).map(({ day, label }) => {
      const text = s("text", { x: share(day), y: 11 });
      text.textContent = label;
      return text;
    });
    byId("months").replaceChildren(s("svg", { width: "100%", height: 14 }, ...labels));
  }

  /** @param {string} day */
  set(day) {
    this.input.value = String(numberOf(day) - this.first);
    this.name();
  }

  name() {
    const name = dayName(this.day);
    byId("day-name").textContent = name;
    this.input.setAttribute("aria-valuetext", name);
  }

  async play() {
    this.playing = true;
    this.button.setAttribute("aria-pressed", "true");
    if (this.input.value === this.input.max) this.input.value = "0";
    while (this.playing && Number(this.input.value) < Number(this.input.max)) {
      this.input.value = String(Number(this.input.value) + 1);
      this.name();
      const pause = new Promise((done) => setTimeout(done, PLAY_MS));
      await Promise.all([this.show(this.day, false), pause]);
    }
    if (this.playing) void this.show(this.day, true);
    this.stop();
  }

  stop() {
    this.playing = false;
    this.button.setAttribute("aria-pressed", "false");
  }
}
