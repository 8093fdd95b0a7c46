/** `shoal completion`: a script for a shell that completes commands, options and layers; made from the commands themselves. */

import type { Command } from 'commander';
import { LAYERS } from '../stack/layers.ts';

/** Shells that there is a script for. */
export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

interface Word {
  readonly word: string;
  readonly help: string;
}

interface Completed {
  readonly command: Word;
  readonly options: readonly Word[];
}

/** The commands of a program and their options, in the order of `--help`. */
function completionsOf(program: Command): readonly Completed[] {
  return program.commands.map((command) => ({
    command: { word: command.name(), help: command.description() },
    options: [
      ...command.options.filter(({ hidden }) => !hidden).map((each) => ({ word: each.long!, help: each.description })),
      { word: '--help', help: 'show how it is used' },
    ],
  }));
}

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
const described = ({ word, help }: Word): string => quoted(`${word.replaceAll(':', '\\:')}:${help}`);
const words = (list: readonly Word[]): string => list.map(({ word }) => word).join(' ');

/** The script, to be loaded by the shell. */
export function completionScript(program: Command, shell: Shell): string {
  const commands = completionsOf(program);
  const layers = LAYERS.map(({ name }) => name).join(' ');
  if (shell === 'bash') return bashScript(commands, layers);
  return shell === 'zsh' ? zshScript(commands, layers) : fishScript(commands, layers);
}

function bashScript(commands: readonly Completed[], layers: string): string {
  const cases = commands.map(({ command, options }) => `    ${command.word}) words="${words(options)}" ;;`);
  return `# shoal completion for bash: source it, or put it into a file of /etc/bash_completion.d
_shoal() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" words
  case "$previous" in
    --stack) words="${layers}"; COMPREPLY=($(compgen -P "\${current%"\${current##*,}"}" -W "$words" -- "\${current##*,}")); return ;;
    --key|--file|--out) COMPREPLY=($(compgen -f -- "$current")); return ;;
  esac
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${words(commands.map(({ command }) => command))}" -- "$current")); return
  fi
  case "\${COMP_WORDS[1]}" in
${cases.join('\n')}
  esac
  case "$current" in
    -*) COMPREPLY=($(compgen -W "$words" -- "$current")) ;;
    *) COMPREPLY=($(compgen -f -- "$current")) ;;
  esac
}
complete -o filenames -F _shoal shoal
`;
}

function zshScript(commands: readonly Completed[], layers: string): string {
  const cases = commands.map(
    ({ command, options }) => `    ${command.word}) candidates=(${options.map(described).join(' ')}) ;;`,
  );
  return `#compdef shoal
# shoal completion for zsh: source it, or put it as _shoal into a folder of $fpath
_shoal() {
  local -a candidates
  case "\${words[CURRENT-1]}" in
    --stack) _values -s , layer ${layers}; return ;;
    --key|--file|--out) _files; return ;;
  esac
  if (( CURRENT == 2 )); then
    candidates=(${commands.map(({ command }) => described(command)).join(' ')})
    _describe command candidates; return
  fi
  case "$words[2]" in
${cases.join('\n')}
  esac
  _describe option candidates
  _files
}
compdef _shoal shoal
`;
}

function fishScript(commands: readonly Completed[], layers: string): string {
  const lines = commands.flatMap(({ command, options }) => [
    `complete -c shoal -n __fish_use_subcommand -f -a ${command.word} -d ${quoted(command.help)}`,
    ...options.map(({ word, help }) => {
      const values = word === '--stack' ? ` -x -a ${quoted(layers)}` : '';
      const when = `-n '__fish_seen_subcommand_from ${command.word}'`;
      return `complete -c shoal ${when} -l ${word.slice(2)}${values} -d ${quoted(help)}`;
    }),
  ]);
  return `# shoal completion for fish: source it, or put it into ~/.config/fish/completions/shoal.fish\n${lines.join('\n')}\n`;
}
