/** What commands write: plain lines for people, or with `--json` one object a line. All text is escaped here, and only here. */

import type { TraceEvent } from 'shoal';
import { printable, printableJson } from './printable.ts';
import { standardError, standardOutput } from './standard-streams.ts';

/** One thing that happened, as `--json` shows it. */
export interface CommandEvent {
  readonly event: string;
  readonly [field: string]: unknown;
}

/** Where a command writes to. Whatever could steer a terminal is escaped, `raw` apart. */
export interface Output {
  readonly json: boolean;
  /** Shows an event: the object with `--json`, else `lines` (no output without lines). A line stays one line. */
  show(event: CommandEvent, lines?: string | readonly string[]): void;
  /** Writes an answer as it is, where people did not ask for JSON. */
  raw(bytes: Uint8Array): void;
  /** One line about what went wrong, or what to know. */
  note(line: string): void;
  /** One line for `--verbose`; left out and counted while nobody reads. */
  trace(event: TraceEvent): void;
  /**
   * What a handler of messages returns before it shows one: `undefined` when the reader keeps up, else a promise for when it
   * has caught up or the command ends. The network is not read meanwhile.
   */
  behind(): Promise<void> | undefined;
}

/** Traces that wait for a reader of standard error, in bytes; more are left out. */
const MAX_WAITING_TRACE_BYTES = 1 << 20;

/**
 * Writes to the process's own streams.
 *
 * @param signal - ends all waits for a reader.
 * @param onGone - called when standard output cannot be written any more (`shoal listen | head -1`).
 */
export function processOutput(json: boolean, signal: AbortSignal, onGone: () => void): Output {
  standardOutput.onBroken(onGone);
  signal.addEventListener('abort', () => {
    standardOutput.giveUp();
    standardError.giveUp();
  });
  let leftOut = 0;
  return {
    json,
    show: (event, lines) => {
      // The next one says more.
      if (event.event === 'progress' && !standardOutput.ready) return;
      if (json) standardOutput.write(`${printableJson(event)}\n`);
      else if (lines !== undefined) {
        for (const line of [lines].flat()) standardOutput.write(`${printable(line)}\n`);
      }
    },
    raw: (bytes) => {
      standardOutput.write(bytes);
      if (process.stdout.isTTY && bytes.at(-1) !== 0x0a) standardOutput.write('\n');
    },
    note: (line) => standardError.write(`${printable(line)}\n`),
    trace: (event) => {
      if (standardError.waitingBytes > MAX_WAITING_TRACE_BYTES) {
        leftOut++;
        return;
      }
      const { atMs } = event;
      const gap = leftOut === 0 ? [] : [{ layer: 'shoal', type: 'traces_left_out', atMs, count: leftOut }];
      leftOut = 0;
      for (const each of [...gap, event]) standardError.write(`${traceLine(each, json)}\n`);
    },
    behind: () => (standardOutput.ready || signal.aborted ? undefined : standardOutput.whenReady()),
  };
}

/** A trace event of any layer, for `--verbose`. */
export function traceLine(event: TraceEvent, json: boolean): string {
  const { layer, type, atMs, addr, reason, cause, ...more } = event;
  const why = cause instanceof Error ? cause.message : undefined;
  if (json) {
    return printableJson({ event: 'trace', layer, type, atMs, addr: addr?.text, reason, cause: why, ...plain(more) });
  }
  const details = Object.entries(plain(more)).map(([name, value]) => `${name}=${String(value)}`);
  const words = [layer, type, addr?.text, reason, why, ...details].filter((word) => word !== undefined);
  return printable(`${(atMs / 1000).toFixed(3)} ${words.join(' ')}`);
}

/** Fields that layers add, as far as they are text and numbers. */
function plain(fields: object): Readonly<Record<string, unknown>> {
  const shown = Object.entries(fields).filter(([, value]) => ['string', 'number', 'boolean'].includes(typeof value));
  return Object.fromEntries(shown);
}
