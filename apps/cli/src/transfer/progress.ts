/** How far a transfer is: a bar with rate and time left on a terminal, events with `--json`. */

import { createLogUpdate } from 'log-update';
import type { Output } from '../output.ts';
import { printable } from '../printable.ts';

const REDRAW_MS = 100;
const EVENT_MS = 500;
const BAR_CHARACTERS = 24;
/** The rate is that of the last seconds, so that it tells what is and not what was. */
const RATE_WINDOW_MS = 3000;

/** What a bar shows. */
export interface ProgressState {
  readonly bytes: number;
  readonly total: number;
  readonly bytesPerSecond: number;
  readonly secondsLeft: number | undefined;
}

/** Shows how far it is until it is disposed of. */
export class Progress implements Disposable {
  readonly #name: string;
  readonly #total: number;
  readonly #output: Pick<Output, 'json' | 'show'>;
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #draw = process.stderr.isTTY ? createLogUpdate(process.stderr) : undefined;
  /** What was there when, of the last {@link RATE_WINDOW_MS}. */
  #marks: { readonly atMs: number; readonly bytes: number }[] = [];
  readonly #from: number;
  #bytes: number;

  /** @param from - bytes that were there before; they count as done and not for the rate. */
  constructor(output: Pick<Output, 'json' | 'show'>, name: string, total: number, from = 0) {
    this.#output = output;
    this.#name = printable(name);
    this.#total = total;
    this.#from = from;
    this.#bytes = from;
    this.#mark();
    const show = output.json ? () => this.#event() : this.#draw === undefined ? undefined : () => this.#bar();
    if (show !== undefined) this.#timer = setInterval(show, output.json ? EVENT_MS : REDRAW_MS);
  }

  /** So many bytes more. */
  add(bytes: number): void {
    this.#bytes += bytes;
  }

  get state(): ProgressState {
    const now = performance.now();
    const [first] = this.#marks;
    const seconds = (now - first!.atMs) / 1000;
    const bytesPerSecond = seconds === 0 ? 0 : Math.round((this.#bytes - first!.bytes) / seconds);
    const secondsLeft = bytesPerSecond === 0 ? undefined : Math.ceil((this.#total - this.#bytes) / bytesPerSecond);
    return { bytes: this.#bytes, total: this.#total, bytesPerSecond, secondsLeft };
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    if (this.#output.json || this.#draw === undefined) return;
    this.#bar();
    this.#draw.done();
  }

  #mark(): void {
    const atMs = performance.now();
    this.#marks = [...this.#marks.filter((mark) => atMs - mark.atMs < RATE_WINDOW_MS), { atMs, bytes: this.#bytes }];
  }

  /** Told once there is something to tell: who hears of progress can rely on some being kept. */
  #event(): void {
    if (this.#bytes === this.#from) return;
    this.#output.show({ event: 'progress', ...this.state });
    this.#mark();
  }

  #bar(): void {
    this.#draw?.(progressLine(this.#name, this.state));
    this.#mark();
  }
}

/** One line: `photos  [#####-----] 52 %  1.2 of 2.3 GiB  80.1 MiB/s  0:14 left`. */
export function progressLine(name: string, { bytes, total, bytesPerSecond, secondsLeft }: ProgressState): string {
  const share = total === 0 ? 1 : bytes / total;
  const filled = Math.floor(share * BAR_CHARACTERS);
  const bar = '#'.repeat(filled) + '-'.repeat(BAR_CHARACTERS - filled);
  const left = secondsLeft === undefined ? '' : `  ${clockText(secondsLeft)} left`;
  return `${name}  [${bar}] ${Math.floor(share * 100)} %  ${sizeText(bytes)} of ${sizeText(total)}  ${sizeText(bytesPerSecond)}/s${left}`;
}

const UNITS = ['KiB', 'MiB', 'GiB', 'TiB'] as const;

/** Bytes for people: `1.5 MiB`. */
export function sizeText(bytes: number): string {
  let value = bytes;
  let unit = 'B';
  for (const next of UNITS) {
    if (value < 1024) break;
    value /= 1024;
    unit = next;
  }
  return `${unit === 'B' ? value : value.toFixed(1)} ${unit}`;
}

const two = (value: number): string => String(value).padStart(2, '0');

function clockText(seconds: number): string {
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}
