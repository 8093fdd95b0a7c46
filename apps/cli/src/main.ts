/** The `shoal` command. */

import { CommanderError, type Command } from 'commander';
import { EXIT, exitCodeOf, explain } from './failure.ts';
import { printable } from './printable.ts';
import { createProgram, shieldAddresses } from './program.ts';
import { standardError, standardOutput } from './standard-streams.ts';

/** Usage errors on one line: commander writes its suggestion on a second one. */
function oneLine(text: string): string {
  const line = text
    .trim()
    .replace(/^error: /, '')
    .replaceAll(/\s*\n\s*/g, ' ');
  const lost = /^unknown (command|option) '[^']*'$/.test(line) ? '; --help lists what there is' : '';
  return `${line}${lost}`;
}

/** Says what is wrong, on one line. */
function complain(text: string): void {
  standardError.write(`shoal: ${printable(text)}\n`);
}

/** Makes every command throw instead of ending the process, and complain on one line. */
function tame(command: Command): void {
  command.exitOverride().configureOutput({
    writeOut: (text) => standardOutput.write(text),
    writeErr: (text) => standardError.write(text),
    outputError: (text) => complain(oneLine(text)),
  });
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
    complain(explain(error));
    if (args.includes('--debug') && error instanceof Error) {
      for (const line of (error.stack ?? '').split('\n')) standardError.write(`${printable(line)}\n`);
    }
    return exitCodeOf(error);
  }
}

/** Waits for what has been written. Output that is lost is a failure, whatever the command said. */
async function finish(code: number): Promise<number> {
  await standardOutput.flush();
  const fault = standardOutput.fault ?? standardError.fault;
  if (standardOutput.fault !== undefined) complain(standardOutput.fault);
  await standardError.flush();
  return code === EXIT.ok && fault !== undefined ? EXIT.failure : code;
}

// The process ends here in any case, so that a signal that arrives now does not interrupt the cleanup.
process.exit(await finish(await main(process.argv.slice(2))));
