/** Benches that are programs of their own, because they answer with a story and not with a figure: run in turn, their words kept. */

import { spawn } from 'node:child_process';
import path from 'node:path';

/** One program. */
export interface BenchProgram {
  readonly name: string;
  readonly question: string;
  readonly args: readonly string[];
  /** In place of `args` with `--quick`. */
  readonly quickArgs: readonly string[];
  /** It writes its own part of the page when it is told to publish. */
  readonly isPublished?: boolean;
  readonly nodeOptions?: readonly string[] | undefined;
}

/** What it said, and whether it ended well. */
export interface ProgramResult {
  readonly name: string;
  readonly question: string;
  readonly ok: boolean;
  readonly output: readonly string[];
}

export const PROGRAMS: readonly BenchProgram[] = [
  {
    name: 'per-message',
    question: 'what a message costs in every wrapper and swarm',
    args: [],
    quickArgs: ['--quick'],
    isPublished: true,
    nodeOptions: ['--expose-gc'],
  },
  {
    name: 'growth',
    question: 'what grows with the number of connections and of nodes',
    args: [],
    quickArgs: ['--quick'],
    isPublished: true,
    nodeOptions: ['--expose-gc'],
  },
  {
    name: 'tracker-many',
    question: 'ten thousand peers of one network at one server of a tracker',
    args: [],
    quickArgs: ['--peers', '1000'],
  },
  {
    name: 'p2pke-flood',
    question: 'honest peers beside a flood of spoofed hellos',
    args: [],
    quickArgs: ['--hellos', '20000'],
    nodeOptions: ['--expose-gc'],
  },
  {
    name: 'node-memory',
    question: 'memory of idle connections of the node, and of a dense mesh, against pea2pea',
    args: [],
    quickArgs: ['--connections=2000', '--mesh=50'],
    nodeOptions: ['--expose-gc'],
  },
];

/** Runs it, and shows what it says. */
export async function runProgram(program: BenchProgram, quick: boolean, publish: boolean): Promise<ProgramResult> {
  const { name, question, args, quickArgs, nodeOptions = [] } = program;
  console.log(`${name}: ${question}`);
  const file = path.join(import.meta.dirname, '..', `${name}.ts`);
  const given = [
    '--conditions=shoal-source',
    ...nodeOptions,
    file,
    ...(quick ? quickArgs : args),
    ...(publish && program.isPublished ? ['--publish'] : []),
  ];
  const child = spawn(process.execPath, given, { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
    process.stdout.write(chunk);
  });
  const code = await new Promise<number | null>((resolve) => void child.on('close', resolve));
  console.log();
  return { name, question, ok: code === 0, output: output.trimEnd().split('\n') };
}
