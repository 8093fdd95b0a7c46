/** What commands write: plain lines for people, or with `--json` one object a line. */

import { type TraceEvent } from 'shoal';

/** One thing that happened, as `--json` shows it. */
export interface CommandEvent {
  readonly event: string;
  readonly [field: string]: unknown;
}

/** Where a command writes to. */
export interface Output {
  readonly json: boolean;
  /** Shows an event: the object with `--json`, else `line` (nothing, when there is none). */
  show(event: CommandEvent, line?: string): void;
  /** Writes an answer as it is, where people did not ask for JSON. */
  raw(bytes: Uint8Array): void;
  /** One line about what went wrong, or what to know. */
  note(line: string): void;
}

/**
 * Writes to the process's own streams.
 *
 * @param onGone - called when nobody reads the output any more (`shoal listen | head -1`).
 */
export function processOutput(json: boolean, onGone: () => void): Output {
  process.stdout.on('error', onGone);
  return {
    json,
    show: (event, line) => {
      if (json) process.stdout.write(`${JSON.stringify(event)}\n`);
      else if (line !== undefined) process.stdout.write(`${line}\n`);
    },
    raw: (bytes) => {
      process.stdout.write(bytes);
      if (process.stdout.isTTY && bytes.at(-1) !== 0x0a) process.stdout.write('\n');
    },
    note: (line) => void process.stderr.write(`${line}\n`),
  };
}

/** A trace event of any layer, for `--verbose`. */
export function traceLine(event: TraceEvent, json: boolean): string {
  const { layer, type, atMs, addr, reason, cause, ...more } = event;
  const why = cause instanceof Error ? printable(cause.message) : undefined;
  if (json) {
    return JSON.stringify({ event: 'trace', layer, type, atMs, addr: addr?.text, reason, cause: why, ...plain(more) });
  }
  const details = Object.entries(plain(more)).map(([name, value]) => `${name}=${String(value)}`);
  const words = [layer, type, addr?.text, reason, why, ...details].filter((word) => word !== undefined);
  return `${(atMs / 1000).toFixed(3)} ${words.join(' ')}`;
}

/** Fields that layers add, as far as they are text and numbers. */
function plain(fields: object): Readonly<Record<string, unknown>> {
  const shown = Object.entries(fields).filter(([, value]) => ['string', 'number', 'boolean'].includes(typeof value));
  return Object.fromEntries(shown);
}

/** Text from elsewhere without anything that could steer a terminal. */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Co}\p{Cs}\u2028\u2029]/gu, '\u{fffd}');
}
