/** The name that was probably meant. */

/** Names longer than this are not compared: the cost is that of both lengths. */
const MAX_CHARACTERS = 64;

/** The known name that differs from `name` in a letter or two, or in the case of letters; `undefined` when none does. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  if (name.length > MAX_CHARACTERS) return undefined;
  let best: string | undefined;
  let least = name.length < 4 ? 2 : 3;
  for (const each of known) {
    const distance = each.toLowerCase() === name.toLowerCase() ? 0 : editDistance(name, each);
    if (distance < least) [best, least] = [each, distance];
  }
  return best;
}

/** Insertions, deletions, changes and swaps of neighbours that lead from one text to the other. */
function editDistance(a: string, b: string): number {
  let [before, last] = [[] as number[], Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1] === b[j - 1];
      let least = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (isSame ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) least = Math.min(least, before[j - 2]! + 1);
      row.push(least);
    }
    [before, last] = [last, row];
  }
  return last[b.length]!;
}
