/** From values to colours: viridis, whose lightness rises evenly and which is told apart with any colour vision. */

/** @typedef {{low: number, high: number}} Domain */
/** @typedef {{name: string, type: string, unit: string | null, meaning: string, range: [number | null, number | null] | null}} Column */

export const VIRIDIS = [
  "#440154", "#482878", "#3e4a89", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725",
];

/** Columns that are stored as integers of a ten thousandth are shown as what they mean. */
const TEN_THOUSANDTH = /_e4$/;

/** @param {string} column */
export function factorOf(column) {
  return TEN_THOUSANDTH.test(column) ? 1e-4 : 1;
}

/** @type {Record<string, string>} */
const STATISTICS = {
  mean: "mean", stdev: "spread", min: "least", max: "greatest", fraction: "share", smoothed: "smoothed", integral: "season's sum",
};
/** @type {Record<string, string>} */
const LAYERS = { lst_c: "Surface temperature", lwir11: "Thermal band", cell_count: "Number of cells" };

/**
 * A column's name for people.
 * @param {string} column
 */
export function titleOf(column) {
  if (LAYERS[column]) return LAYERS[column];
  const name = column.replace(TEN_THOUSANDTH, "");
  const at = name.lastIndexOf("_");
  const [layer, what] = [name.slice(0, at), name.slice(at + 1)];
  const statistic = STATISTICS[what];
  if (at < 0 || !statistic) return name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ");
  const known = LAYERS[layer];
  const short = layer.length <= 5 && statistic !== "share";
  const first = known ?? (short ? layer.toUpperCase() : layer.charAt(0).toUpperCase() + layer.slice(1).replaceAll("_", " "));
  return `${first}, ${statistic}`;
}

/**
 * A unit for people; empty where there is none.
 * @param {Column} column
 */
export function unitOf(column) {
  const unit = column.unit ?? "";
  if (unit === "1" || unit === "1e-4") return "";
  if (unit === "1e-4 days") return "days";
  return unit === "degrees Celsius" ? "°C" : unit;
}

/**
 * The numeric columns that a map can show.
 * @param {Column[]} columns
 */
export function numeric(columns) {
  return columns.filter((column) => /^(double|float|int|uint)/.test(column.type));
}

/**
 * The ends of a column's scale that hold on every day, where its meaning gives them.
 * @param {Column} column
 * @returns {Domain | null}
 */
export function knownDomain(column) {
  if (/^ndvi_(mean|min|max|smoothed_e4)$/.test(column.name)) return { low: 0, high: 1 };
  if (/_stdev$/.test(column.name) && column.range?.[1] === 1) return { low: 0, high: 0.3 };
  const [low, high] = column.range ?? [null, null];
  return low === 0 && high === 1 ? { low, high } : null;
}

/**
 * A scale from least to greatest of some values, rounded outwards.
 * @param {number[]} values
 * @returns {Domain}
 */
export function domainOf(values) {
  if (!values.length) return { low: 0, high: 1 };
  let [low, high] = [Math.min(...values), Math.max(...values)];
  if (low === high) [low, high] = [low - 0.5, high + 0.5];
  const step = stepOf(high - low, 5);
  return { low: Math.floor(low / step) * step, high: Math.ceil(high / step) * step };
}

/**
 * A step of 1, 2 or 5 times a power of ten that cuts a span into about so many parts.
 * @param {number} span
 * @param {number} parts
 */
export function stepOf(span, parts) {
  const rough = span / parts;
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((n) => n * power).find((step) => step >= rough * 0.999) ?? power * 10;
}

/**
 * Even numbers within a span, about so many.
 * @param {Domain} domain
 * @param {number} parts
 */
export function stepsOf(domain, parts) {
  const step = stepOf(domain.high - domain.low, parts);
  const first = Math.ceil(domain.low / step - 1e-9);
  const count = Math.floor(domain.high / step + 1e-9) - first + 1;
  return Array.from({ length: count }, (_, n) => (first + n) * step);
}

/**
 * A number for people: three digits that matter.
 * @param {number | null | undefined} value
 */
export function shown(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toLocaleString("en", { minimumFractionDigits: Number.isInteger(value) ? 0 : digits, maximumFractionDigits: digits }).replace("-", "−");
}

/**
 * MapLibre's expression of the colours of a domain.
 * @param {any} value expression of the value
 * @param {Domain} domain
 */
export function colourExpression(value, domain) {
  const stops = VIRIDIS.flatMap((colour, n) => [
    domain.low + ((domain.high - domain.low) * n) / (VIRIDIS.length - 1), colour,
  ]);
  return ["interpolate", ["linear"], value, ...stops];
}

/**
 * The colour of a value, near enough for a swatch.
 * @param {number} value
 * @param {Domain} domain
 */
export function colourOf(value, domain) {
  const at = Math.min(1, Math.max(0, (value - domain.low) / (domain.high - domain.low)));
  return VIRIDIS[Math.round(at * (VIRIDIS.length - 1))] ?? "#000000";
}
