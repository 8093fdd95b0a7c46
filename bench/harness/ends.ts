/** Processes that are measured: pinned to cores, and their CPU time read. */

import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

/** One process. */
export interface End {
  readonly pid: number;
  /** CPU time since its start, of all its threads, in µs. */
  cpuUs(): number | Promise<number>;
}

/**
 * `one core`: of all ends together, for what is done one after the other. `two cores`: each end has one of its own.
 * `not pinned`: processes that come and go.
 */
export type Cores = 'one core' | 'two cores' | 'not pinned';

const HERE = 'one process';
let canPin: string | undefined;

/** Pins all threads of every end. @returns what is said of it in the row */
export function pin(ends: readonly End[] | undefined, on: Cores | undefined): string {
  if (on === undefined) return HERE;
  if (ends === undefined || on === 'not pinned') return 'not pinned';
  canPin ??= pinningFails();
  if (canPin !== '') return `not pinned: ${canPin}`;
  for (const [i, { pid }] of ends.entries()) taskset('-acp', on === 'one core' ? '0' : String(i % 2), String(pid));
  return on;
}

function taskset(...args: readonly string[]): void {
  execFileSync('taskset', args, { stdio: 'ignore' });
}

function pinningFails(): string {
  try {
    taskset('-c', '0,1', 'true');
    return '';
  } catch {
    return 'no taskset, or one core only';
  }
}

/** CPU time of this process in µs. */
export function ownCpuUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** A program that is not Node: the kernel knows the time of each thread. Where it does not tell, it is NaN. */
export function programEnd(pid: number): End {
  return {
    pid,
    cpuUs: () => {
      try {
        const tasks = `/proc/${pid}/task`;
        const ns = readdirSync(tasks).map((task) =>
          Number(readFileSync(`${tasks}/${task}/schedstat`, 'utf8').split(' ')[0]),
        );
        return ns.reduce((sum, each) => sum + each, 0) / 1000;
      } catch {
        return NaN;
      }
    },
  };
}

/** What `act` answers, and what CPU time it takes in all ends. */
export async function cpuOf<T>(
  ends: readonly End[] | undefined,
  act: () => T | Promise<T>,
): Promise<{ readonly result: T; readonly cpuUs: number }> {
  const used = async (): Promise<number> => {
    if (ends === undefined) return ownCpuUs();
    let all = 0;
    for (const end of ends) all += await end.cpuUs();
    return all;
  };
  const before = await used();
  const result = await act();
  return { result, cpuUs: (await used()) - before };
}
