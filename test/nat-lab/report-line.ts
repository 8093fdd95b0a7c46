/** How processes of the lab tell what they found: one line of JSON. */

export function report(found: unknown): void {
  process.stdout.write(`${JSON.stringify(found)}\n`);
}
