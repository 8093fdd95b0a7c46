import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';

import {
  type Bench,
  type Control,
  counted,
  type Measure,
  quartiles,
  ROUND_MS,
  runBench,
  same,
} from '../../bench/harness/bench.ts';
import { BENCHES } from '../../bench/harness/benches.ts';
import { type Cores, type End, pin, programEnd } from '../../bench/harness/ends.ts';
import { FRONT, frontRowOf, GROUPS } from '../../bench/harness/front.ts';
import { sectionReplaced } from '../../bench/harness/page.ts';
import { plot } from '../../bench/harness/plot.ts';
import { published, type SummaryRow, summaryOf, summaryTable } from '../../bench/harness/summary.ts';

/** A measure that comes to these figures, one a round; the first is that of the warm-up. */
function measure(name: string, figures: readonly number[], more: Partial<Measure> = {}): Measure {
  let round = 0;
  return { name, unit: 'asks/s', round: () => ({ figure: figures[round++ % figures.length]! }), ...more };
}

function bench(measures: readonly Measure[], controls: readonly Control[] = []): Bench {
  const [subject, baseline] = [measures[0]!.name, measures[1]!.name];
  return {
    name: 'fake',
    question: 'what?',
    prepare: () => ({ measures, claims: [{ subject, baseline, goal: { ratio: 2 } }], controls }),
  };
}

/** Ends that have used nothing at every first look, and so much at every second. */
const ends =
  (...all: readonly number[]) =>
  (): Promise<readonly End[]> =>
    Promise.resolve(
      all.map((cpuUs) => {
        let looks = 0;
        return { pid: 0, cpuUs: () => (looks++ === 0 ? 0 : cpuUs) };
      }),
    );

function row(part: Partial<SummaryRow>): SummaryRow {
  return {
    bench: 'requests',
    subject: 'own',
    unit: 'asks/s',
    on: 'one core',
    figure: 10,
    cpuUs: 5,
    baseline: 'base',
    baselineFigure: 20,
    baselineCpuUs: 2,
    ratio: 0.5,
    spread: [0.4, 0.6],
    cpuRatio: 2.5,
    goal: '',
    verdict: '',
    distrusted: undefined,
    recorded: '',
    ...part,
  };
}

describe('the rounds of a bench', () => {
  it('the first warms up, the median of the others counts, and quartiles are stated', async () => {
    const measures = [measure('own', [999, 10, 50, 20, 40, 30]), measure('base', [1, 10, 10, 10, 10, 10])];
    const { rows, figures } = await runBench(bench(measures), { rounds: 5 });
    assert.deepEqual(figures['own'], [10, 50, 20, 40, 30]);
    assert.deepEqual([rows[0]!.figure, rows[0]!.ratio, rows[0]!.spread], [30, 3, [2, 4]]);
    assert.deepEqual([rows[0]!.goal, rows[0]!.verdict], ['≥ 2×', 'met']);
    assert.deepEqual(quartiles([8, 1, 4, 2]), [1, 4]);
  });

  it('CPU time of all ends is divided by the operations', async () => {
    const round = () => ({ figure: 7, operations: 10 });
    const measures = [
      measure('own', [], { ends: ends(40, 60), round }),
      measure('base', [], { ends: ends(50), round }),
    ];
    const { rows } = await runBench(bench(measures), { rounds: 3 });
    assert.deepEqual([rows[0]!.cpuUs, rows[0]!.baselineCpuUs, rows[0]!.cpuRatio], [10, 5, 2]);
  });

  it('the CPU time that a round knows better goes before', async () => {
    const own = measure('own', [], { round: () => ({ figure: 1, operations: 4, cpuUs: 12 }) });
    const { rows } = await runBench(bench([own, measure('base', [1])]), { rounds: 3 });
    assert.deepEqual([rows[0]!.cpuUs, rows[0]!.baselineCpuUs, rows[0]!.cpuRatio], [3, undefined, undefined]);
  });

  it('a goal for the CPU time is judged by the ratio of the CPU times', async () => {
    const of = (name: string, cpuUs: number) =>
      measure(name, [], { round: () => ({ figure: 1, operations: 1, cpuUs }) });
    const made = bench([of('own', 4), of('base', 2)]);
    const judged = async (cpu: number) => {
      const claims = [{ subject: 'own', baseline: 'base', goal: { cpu } }];
      const result = await runBench({ ...made, prepare: () => ({ ...made.prepare(), claims }) }, { rounds: 1 });
      return [result.rows[0]!.goal, result.rows[0]!.verdict];
    };
    assert.deepEqual(await judged(2), ['CPU ≤ 2×', 'met']);
    assert.deepEqual(await judged(1.9), ['CPU ≤ 1.9×', 'missed']);
  });

  it('what is not installed is left out by name, and a rival that breaks, too', async () => {
    let starts = 0;
    const broken = measure('rival', [], {
      missing: () => false,
      round: () => {
        starts++;
        throw new Error('it hangs');
      },
    });
    const absent = measure('absent', [1], { missing: () => 'absent: not installed' });
    const made = bench([measure('own', [1]), broken, absent]);
    const { rows, notes, broken: ours, figures } = await runBench(made, { rounds: 3 });
    assert.deepEqual([rows, ours], [[], []]);
    assert.deepEqual(notes, ['left out: absent: not installed', 'failed: rival: Error: it hangs']);
    assert.equal(starts, 1);
    assert.equal(figures['absent'], undefined);
  });

  it('what is our own and breaks is named as broken, and the others are measured', async () => {
    const own = measure('own', [], { round: () => Promise.reject(new Error('it breaks')) });
    const { rows, broken, notes, figures } = await runBench(bench([own, measure('base', [1])]), { rounds: 3 });
    assert.deepEqual([rows, broken, notes], [[], ['own'], ['failed: own: Error: it breaks']]);
    assert.deepEqual(figures['base'], [1, 1, 1]);
  });

  it('what takes long is measured once', async () => {
    const measures = ['own', 'base'].map((name, i) => measure(name, [4 - i, 99], { isSingle: true }));
    const { rows, figures } = await runBench(bench(measures), { rounds: 3 });
    assert.deepEqual([figures, rows[0]!.ratio], [{ own: [4], base: [3] }, 4 / 3]);
  });

  it('with claims that are not wanted, only what the others and their controls need is measured', async () => {
    const measures = ['own', 'base', 'base again', 'other'].map((name) => measure(name, [1]));
    const made = bench(measures, [same('base again', 'base')]);
    const all = await runBench(made, { rounds: 1 });
    assert.deepEqual(Object.keys(all.figures), ['own', 'base', 'base again', 'other']);
    const some = await runBench(made, { rounds: 1, claims: ({ subject }) => subject === 'own' });
    assert.deepEqual(Object.keys(some.figures), ['own', 'base', 'base again']);
    const none = await runBench(made, { rounds: 1, claims: () => false });
    assert.deepEqual(Object.keys(none.figures), []);
  });

  it('a counted round goes on until it has taken a second', async () => {
    const counts: number[] = [];
    // One operation a millisecond: the first run has far too few.
    const round = counted((count) => (counts.push(count), count), 10);
    const { figure, operations } = await round();
    assert.equal(figure, 1000);
    assert.ok(operations! >= ROUND_MS && counts.length <= 12, counts.join());
    const again = await round();
    assert.ok(again.operations! >= ROUND_MS && again.operations! < 1.2 * ROUND_MS);
  });

  it('a counted round does whole steps only', async () => {
    const counts: number[] = [];
    await counted((count) => (counts.push(count), 400), 10, 1, 7)();
    assert.ok(
      counts.every((count) => count > 0 && count % 7 === 0),
      counts.join(),
    );
  });
});

describe('a control', () => {
  it('whose measure breaks has failed, and distrusts its rows', async () => {
    const broken = measure('again', [], { round: () => Promise.reject(new Error('broken')) });
    const control = { ...same('again', 'base'), needs: ['again'], holds: () => true };
    const { rows, controls } = await runBench(bench([measure('own', [1]), measure('base', [1]), broken], [control]), {
      rounds: 1,
    });
    assert.deepEqual(
      [rows.map(({ distrusted }) => distrusted), controls.map(({ ok }) => ok)],
      [[control.what], [false]],
    );
  });

  const apart: Control = { what: 'base is base', needs: ['base', 'again'], of: 'own', holds: () => false };

  it('that fails keeps its rows out of the table and the picture, and names them', async () => {
    const front = FRONT[0]!;
    const measures = [front.subject, front.baseline, 'again'].map((name) => measure(name, [1]));
    for (const ok of [true, false]) {
      const control = { ...apart, needs: ['again'], of: front.subject, holds: () => ok };
      const result = await runBench({ ...bench(measures, [control]), name: front.bench }, { rounds: 3 });
      const { rows, left } = published(summaryOf([result]));
      assert.equal(rows.length, ok ? 1 : 0);
      assert.equal(summaryTable(rows).includes(front.subject), ok);
      assert.equal(plot(rows, 'here').includes(front.label), ok);
      assert.equal(left.length, ok ? 0 : 1);
      if (!ok) assert.match(left[0]!, /request, 64 B.*not published, because its control failed \(base is base\)/);
      assert.deepEqual(result.controls, [{ what: 'base is base', ok }]);
    }
  });

  it('stands for the rows that it names only', async () => {
    const measures = ['own', 'base', 'again'].map((name) => measure(name, [1]));
    const { rows } = await runBench(bench(measures, [{ ...apart, of: 'another' }]), { rounds: 3 });
    assert.equal(rows[0]!.distrusted, undefined);
  });

  it('of the same thing twice holds when both come to the same', () => {
    const control = same('again', 'base');
    const holds = (again: readonly number[]): boolean =>
      control.holds(
        new Map([
          ['base', [10, 10, 10]],
          ['again', again],
        ]),
      );
    assert.deepEqual([holds([9, 13, 40]), holds([15, 15, 9]), holds([6, 6, 10])], [true, false, false]);
  });
});

describe('front rows', () => {
  it('are twelve, in three groups, and each is a claim of a bench', async () => {
    assert.equal(FRONT.length, 12);
    assert.equal(new Set(FRONT.map(({ label }) => label)).size, 12);
    assert.deepEqual([...new Set(FRONT.map(({ group }) => group))], [...GROUPS]);
    for (const each of BENCHES) {
      const prepared = each.prepare();
      const names = new Set(prepared.measures.map(({ name }) => name));
      assert.equal(names.size, prepared.measures.length, `${each.name}: names of measures`);
      for (const { subject, baseline } of prepared.claims) {
        assert.ok(names.has(subject) && names.has(baseline), `${each.name}: ${subject} beside ${baseline}`);
      }
      for (const { what, needs } of prepared.controls) {
        assert.ok(needs.length > 0 && needs.every((name) => names.has(name)), `${each.name}: ${what}`);
      }
      const claimed = prepared.claims.filter((claim) => frontRowOf(each.name, claim) !== undefined);
      const expected = FRONT.filter((front) => front.bench === each.name);
      assert.equal(new Set(claimed.map((claim) => frontRowOf(each.name, claim))).size, expected.length, each.name);
      await prepared[Symbol.asyncDispose]?.();
    }
    assert.ok(FRONT.every((front) => BENCHES.some(({ name }) => name === front.bench)));
  });

  it('stand alone in the picture, with whole labels that have room', () => {
    const rows = FRONT.map((front) => row({ ...front, goal: 'CPU ≤ 0.85×', ratio: 1234.56, cpuRatio: 1234.56 }));
    const svg = plot([...rows, row({ bench: 'asks', subject: 'nothing in front' })], 'here');
    assert.ok(!svg.includes('nothing in front') && !svg.includes('…'));
    for (const { label } of FRONT) assert.ok(svg.includes(`>${label}</text>`), label);
    const width = Number(/viewBox="0 0 (\d+)/.exec(svg)![1]);
    const texts = [...svg.matchAll(/<text x="([\d.]+)"([^>]*)>([^<]*)</g)];
    assert.ok(texts.length >= 2 * FRONT.length);
    for (const [, x, attributes, text] of texts) {
      const room = attributes!.includes('end') ? Number(x) : width - Number(x);
      assert.ok(attributes!.includes('middle') || room >= 6.5 * text!.length, text ?? '');
    }
  });
});

describe('the table', () => {
  it('has the CPU time of an operation of both, and where the ends ran', () => {
    const [header, , line] = summaryTable([row({ cpuUs: 123.4, baselineCpuUs: 4.56 })]).split('\n');
    assert.match(header!, /Cores.*CPU µs each.*CPU µs each.*Ratio.*Quartiles.*CPU ratio/);
    assert.match(line!, /one core.*\| 123 .*\| 4\.6 .*0\.40–0\.60.*2\.50×/);
  });

  it('is put between its marks in the page', () => {
    const page = 'a\n<!-- summary -->\nold\n<!-- end of summary -->\nz';
    const replaced = 'a\n<!-- summary -->\n\nnew\n\n<!-- end of summary -->\nz';
    assert.equal(sectionReplaced(page, 'summary', 'new'), replaced);
    assert.throws(() => sectionReplaced(page, 'growth', 'new'), /no section growth/);
  });
});

describe('ends', () => {
  it(
    'all threads of a process are pinned, and its CPU time is read',
    { skip: process.platform !== 'linux' },
    async () => {
      const child = spawn(process.execPath, [
        '-e',
        'for (const end = Date.now() + 50; Date.now() < end;); console.log(); setInterval(() => {}, 1e6)',
      ]);
      try {
        await once(child.stdout, 'data');
        const end = programEnd(child.pid!);
        const allowed = (on: Cores): readonly [string, string] => {
          const said = pin([end], on);
          return [said, /Cpus_allowed_list:\s+(\S+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))![1]!];
        };
        const [said, cores] = allowed('one core');
        // Where it cannot be done, the row says so.
        if (said === 'one core') assert.equal(cores, '0');
        else assert.match(said, /^not pinned/);
        assert.ok((await end.cpuUs()) > 20_000);
      } finally {
        child.kill();
      }
    },
  );

  it('this process is one process, and processes that come and go are not pinned', () => {
    assert.equal(pin(undefined, undefined), 'one process');
    assert.equal(pin(undefined, 'not pinned'), 'not pinned');
  });
});
