/** Runs scenarios in the lab. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { inside } from './enter.ts';

/**
 * What a script of scenarios says in the namespaces: its lines of JSON.
 *
 * @param as - another user, with no rights of its own.
 */
export async function runInLab<T>(script: string, groups: readonly string[], as?: string): Promise<readonly T[]> {
  const [command, args] = inside([process.execPath, '--conditions=shoal-source', script, ...groups], as);
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let trouble = '';
  child.stderr.on('data', (chunk: Buffer) => (trouble += chunk.toString()));
  const said: T[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.startsWith('{')) said.push(JSON.parse(line) as T);
  }
  const code = child.exitCode ?? (await new Promise<number | null>((resolve) => void child.on('exit', resolve)));
  assert.equal(code, 0, trouble);
  return said;
}
