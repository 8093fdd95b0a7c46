/** What `tools/test.ts` writes down for other tools. */

/** How one test ended, for `--report=FILE`. */
export interface TestOutcome {
  readonly file: string;
  readonly name: string;
  readonly outcome: 'passed' | 'failed' | 'skipped';
  /** Why it was skipped. */
  readonly why?: string | undefined;
}
