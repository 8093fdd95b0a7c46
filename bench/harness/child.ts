/** An end on Node, as a process of its own: it is told what to do by IPC, and answers each order. */

import { type ChildProcess, fork } from 'node:child_process';

import { type End, ownCpuUs } from './ends.ts';

/** An order of which nothing is heard for so long has failed. */
const PATIENCE_MS = 180_000;

type Question = { readonly id: number; readonly order?: unknown };
type Answer = { readonly id: number; readonly report?: unknown; readonly error?: string };

/** The process, seen from the bench. */
export class Child<Order, Report> implements End, AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #name: string;
  /** Bounded by the orders that a bench gives at once. */
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #id = 0;

  constructor(script: URL, args: readonly string[] = []) {
    this.#name = `${script.pathname.split('/').at(-1)!} ${args.join(' ')}`;
    this.#child = fork(script, args, {
      execArgv: ['--conditions=shoal-source', '--expose-gc'],
      // Manifests of rivals make Node complain.
      env: { ...process.env, NODE_NO_WARNINGS: '1' },
    });
    this.#child.on('message', (answer: Answer) => this.#waiting.get(answer.id)?.(answer));
    this.#child.once('exit', (code, signal) => {
      for (const [id, settle] of this.#waiting) settle({ id, error: `the process ended with ${code ?? signal}` });
    });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  order(order: Order, patienceMs: number = PATIENCE_MS): Promise<Report> {
    return this.#ask<Report>({ id: this.#id++, order }, patienceMs);
  }

  cpuUs(): Promise<number> {
    return this.#ask<number>({ id: this.#id++ }, PATIENCE_MS);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await exited;
  }

  #ask<T>(question: Question, patienceMs: number): Promise<T> {
    return new Promise((resolve, reject) => {
      const { id } = question;
      const settle = ({ report, error }: Answer): void => {
        clearTimeout(late);
        this.#waiting.delete(id);
        if (error === undefined) resolve(report as T);
        else reject(new Error(`${this.#name}: ${error}`));
      };
      const late = setTimeout(() => settle({ id, error: `no answer within ${patienceMs / 1000} s` }), patienceMs);
      this.#waiting.set(id, settle);
      this.#child.send(question);
    });
  }
}

/** The process, from within: answers orders until the bench lets go of it. */
export function obey(handle: (order: never) => unknown): void {
  process.on('message', ({ id, order }: { readonly id: number; readonly order?: never }) => {
    const act = async (): Promise<unknown> => (order === undefined ? ownCpuUs() : handle(order));
    act().then(
      (report) => process.send!({ id, report } satisfies Answer),
      (error: unknown) =>
        process.send!({ id, error: String(error instanceof Error ? error.stack : error) } satisfies Answer),
    );
  });
  process.on('disconnect', () => process.exit());
}

/** Starts something once, when it is needed, and ends what was started. */
export class Lazy<T> implements AsyncDisposable {
  readonly #start: () => T | Promise<T>;
  #started: Promise<T> | undefined;

  constructor(start: () => T | Promise<T>) {
    this.#start = start;
  }

  get(): Promise<T> {
    return (this.#started ??= Promise.resolve(this.#start()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const started: unknown = await this.#started?.catch(() => undefined);
    await (started as Partial<AsyncDisposable> | undefined)?.[Symbol.asyncDispose]?.();
  }
}

/** Ends all. */
export async function endAll(all: Iterable<AsyncDisposable>): Promise<void> {
  for (const each of all) await each[Symbol.asyncDispose]();
}
