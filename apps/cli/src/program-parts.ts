/** What the declarations of commands share. */

import { type Command, InvalidArgumentError, Option } from 'commander';
import type { CommandContext, CommonOptions } from './context.ts';

/** A number option: whole, and in bounds. */
export function whole(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max) {
      throw new InvalidArgumentError(`Expected a whole number from ${min} to ${max}.`);
    }
    return value;
  };
}

/** Runs a command with what every command has. What it needs is loaded only now: `--help` needs none of it. */
export async function run(options: CommonOptions, body: (context: CommandContext) => Promise<void>): Promise<void> {
  const { beginCommand } = await import('./context.ts');
  await body(beginCommand(options));
}

/** A command with the options that every command has. */
export function common(command: Command): Command {
  return command
    .option('--json', 'one JSON object a line')
    .option('--verbose', 'show what every layer does, on standard error')
    .addOption(new Option('--debug', 'show the stack trace of an error').hideHelp());
}

/** Lines below the help of a command. */
export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ shoal ${line}`).join('\n')}\n`;
}
