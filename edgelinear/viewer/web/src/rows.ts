/** Tables of partners that are sorted in the page, as Python sorts them. */

import type { Asks, Figure, Partner } from "./protocol";

export interface How {
  sort: string;
  descending: boolean;
  filter: string;
}

/** Rows whose names have a text in them, sorted. */
export function orderedRows(table: Partner[], { sort, descending, filter }: How): Partner[] {
  const text = filter.toLowerCase();
  const rows = table.filter(({ name }) => name.toLowerCase().includes(text));
  // What is equal stands in the order of the edges, those of the other wiring alone last.
  rows.sort((a, b) => (a.edge ?? Infinity) - (b.edge ?? Infinity) || 0);
  const turn = descending ? -1 : 1;
  if (sort === "name") {
    const hasNames = table.some(({ name, node }) => name !== String(node));
    return rows.sort((a, b) => turn * (hasNames ? byName(a, b) : a.node - b.node));
  }
  const number = (row: Partner) => row[sort as keyof Partner] as Figure;
  return rows.sort((a, b) => {
    const [one, other] = [number(a), number(b)];
    if (one === null || other === null) return Number(one === null) - Number(other === null);
    return turn * compared(size(one), size(other));
  });
}

function byName(a: Partner, b: Partner): number {
  const [one, other] = [a.name.toLowerCase(), b.name.toLowerCase()];
  return one < other ? -1 : one > other ? 1 : a.node - b.node;
}

/** How large a number is, whatever its sign: none is larger than one that is not a number. */
function size(number: Figure): number {
  const found = Math.abs(Number(number));
  return Number.isNaN(found) ? Infinity : found;
}

function compared(one: number, other: number): number {
  return one < other ? -1 : one > other ? 1 : 0;
}

// What a spreadsheet would compute, as it begins; plain numbers begin so as well.
const FORMULA = /^([=@\t\r]|[+-](?!\d+(\.\d+)?(e[+-]?\d+)?$))/i;

/**
 * Rows as CSV, of which a spreadsheet computes nothing, with the numbers of some columns. Those of
 * single precision have its digits.
 */
export function csvOf(
  rows: Partner[],
  numbers: string[],
  single: string[],
  isCompared: boolean,
): string {
  const state = isCompared ? ["state"] : [];
  const lines = [["edge", "node", "name", ...numbers, ...state]];
  for (const row of rows) {
    const name = FORMULA.test(row.name) ? `'${row.name}` : row.name;
    const found = numbers.map((column) => {
      const number = row[column as keyof Partner] as Figure;
      return single.includes(column) ? shortest(number) : String(number ?? "");
    });
    lines.push([
      String(row.edge ?? ""),
      String(row.node),
      name,
      ...found,
      ...(isCompared ? [row.state] : []),
    ]);
  }
  return lines.map((line) => `${line.map(quoted).join(",")}\r\n`).join("");
}

function quoted(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** A number of single precision in the fewest digits that tell it from others. */
function shortest(number: Figure): string {
  if (typeof number !== "number") return number ?? "";
  for (let kept = 1; kept < 9; kept++) {
    const text = String(Number(number.toPrecision(kept)));
    if (Math.fround(Number(text)) === number) return text;
  }
  return String(Number(number.toPrecision(9)));
}

/** What the file of a node's table is called, in letters that every system takes. */
export function fileName(name: string, { node, direction }: Asks["csv"]): string {
  const letters = name.replaceAll(/[^A-Za-z0-9._-]+/g, "_").slice(0, 60);
  return `${letters.replaceAll(/^[._]+|[._]+$/g, "") || node}-${direction}.csv`;
}
