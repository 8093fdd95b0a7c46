/** The `shoal` command. */

import { CommanderError, type Command } from 'commander';
import { EXIT, exitCodeOf, explain } from './failure.ts';
import { createProgram, shieldAddresses } from './program.ts';

/** Usage errors on one line: commander writes its suggestion on a second one. */
function oneLine(text: string): string {
  const line = text
    .trim()
    .replace(/^error: /, '')
    .replaceAll(/\s*\n\s*/g, ' ');
  const lost = /^unknown (command|option) '[^']*'$/.test(line) ? '; --help lists what there is' : '';
  return `shoal: ${line}${lost}\n`;
}

/** Makes every command throw instead of ending the process, and complain on one line. */
function tame(command: Command): void {
  command.exitOverride().configureOutput({ outputError: (text, write) => write(oneLine(text)) });
  for (const each of command.commands) tame(each);
}

/** @returns the exit code. */
async function main(args: readonly string[]): Promise<number> {
  const program = createProgram();
  tame(program);
  try {
    await program.parseAsync(shieldAddresses(args), { from: 'user' });
    return EXIT.ok;
  } catch (error) {
    // Commander has written what is wrong.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    process.stderr.write(`shoal: ${explain(error)}\n`);
    if (args.includes('--debug') && error instanceof Error) process.stderr.write(`${error.stack}\n`);
    return exitCodeOf(error);
  }
}

process.exitCode = await main(process.argv.slice(2));
