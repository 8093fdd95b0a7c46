import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';

const root = path.join(import.meta.dirname, '..', '..');
const read = (file: string): string => readFileSync(path.join(root, file), 'utf8');

/** What swarms may use of these folders is public, so that anybody can write the same swarm. */
const SHARED = /^src\/(base|core|runtime|swarm-kit|sessions|net)\//;
/** The network of memory realms is theirs alone, and so are the parts of the UDP swarm. */
const OWN = /^src\/net\/(memory\/|udp\/)/;

const namesOf = (list: string): string[] =>
  list
    .split(',')
    .map((name) => name.trim().replace(/^type /, ''))
    .filter((name) => name !== '');

/** All names that the entry points of the package export. */
function publicNames(): ReadonlySet<string> {
  const { exports } = JSON.parse(read('package.json')) as {
    readonly exports: Readonly<Record<string, string | { readonly 'shoal-source': string }>>;
  };
  const names = new Set<string>();
  for (const entry of Object.values(exports)) {
    if (typeof entry === 'string') continue;
    const source = read(entry['shoal-source']);
    for (const [, list] of source.matchAll(/^export (?:type )?\{([^}]*)\}/gm)) {
      for (const name of namesOf(list!)) names.add(name.split(' as ').at(-1)!);
    }
    for (const [, name] of source.matchAll(/^export (?:abstract )?(?:const|function|class|interface|type) (\w+)/gm)) {
      names.add(name!);
    }
  }
  return names;
}

describe('swarms and wrappers', () => {
  it('use only what is public of the kit, of sessions and of the contract', () => {
    const known = publicNames();
    assert.ok(known.has('SwarmOver') && known.has('TellSlot'));
    const hidden: string[] = [];
    for (const file of globSync('src/{swarms,wrappers}/**/*.ts', { cwd: root })) {
      for (const [, list, from] of read(file).matchAll(/^import (?:type )?\{([^}]*)\} from '(\.[^']*)'/gm)) {
        const target = path.posix.normalize(path.posix.join(path.posix.dirname(file.replaceAll('\\', '/')), from!));
        if (!SHARED.test(target) || OWN.test(target)) continue;
        for (const name of namesOf(list!)) {
          const imported = name.split(' as ')[0]!;
          if (!known.has(imported)) hidden.push(`${file}: ${imported} of ${target}`);
        }
      }
    }
    assert.deepEqual(hidden, []);
  });
});
