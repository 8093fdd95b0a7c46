/**
 * The changes that a mutation run makes to a source file, one at a time.
 *
 * Each change is small and valid TypeScript: a bound moves by one, a check goes, a call goes, a constant is ten times
 * as large. A good test suite notices nearly all of them.
 */

import ts from 'typescript-6';

/** What a change does. `check` removes a test whose failure would have ended something. */
export const KINDS = ['check', 'bound', 'condition', 'constant', 'call', 'assignment', 'boolean', 'reason'] as const;
export type Kind = (typeof KINDS)[number];

/** One change: `text` instead of what stands from `start` to `end` (UTF-16 offsets). */
export interface Mutant {
  readonly kind: Kind;
  readonly start: number;
  readonly end: number;
  readonly text: string;
  /** One-based. */
  readonly line: number;
}

/** The other operator, for comparisons and logic whose sides stay. */
const OPPOSITE: Readonly<Partial<Record<ts.SyntaxKind, readonly [string, Kind]>>> = {
  [ts.SyntaxKind.LessThanToken]: ['<=', 'bound'],
  [ts.SyntaxKind.LessThanEqualsToken]: ['<', 'bound'],
  [ts.SyntaxKind.GreaterThanToken]: ['>=', 'bound'],
  [ts.SyntaxKind.GreaterThanEqualsToken]: ['>', 'bound'],
  [ts.SyntaxKind.EqualsEqualsEqualsToken]: ['!==', 'condition'],
  [ts.SyntaxKind.ExclamationEqualsEqualsToken]: ['===', 'condition'],
};

/** The names of drop reasons and error codes: `queue_full`, `frag.incomplete`. */
const REASON = /^[a-z]+(?:[._][a-z]+)+$/;

/** @returns every change of a file, in the order of the text. */
export function mutantsOf(source: string, name: string): readonly Mutant[] {
  const file = ts.createSourceFile(name, source, ts.ScriptTarget.Latest, true, ts.ScriptKind.TS);
  const found: Mutant[] = [];

  function add(kind: Kind, node: ts.Node, text: string): void {
    const start = node.getStart(file);
    const { line } = file.getLineAndCharacterOfPosition(start);
    found.push({ kind, start, end: node.end, text, line: line + 1 });
  }

  function visit(node: ts.Node): void {
    if (isLeftAlone(node)) return;
    if (ts.isIfStatement(node)) ofIf(node);
    else if (ts.isBinaryExpression(node)) ofBinary(node);
    else if (ts.isNumericLiteral(node)) add('constant', node, otherNumber(node));
    else if (ts.isPrefixUnaryExpression(node) && node.operator === ts.SyntaxKind.ExclamationToken)
      add('condition', node, node.operand.getText(file));
    else if (ts.isConditionalExpression(node)) add('condition', node.condition, `!(${node.condition.getText(file)})`);
    else if (node.kind === ts.SyntaxKind.TrueKeyword && !ts.isLiteralTypeNode(node.parent))
      add('boolean', node, 'false');
    else if (node.kind === ts.SyntaxKind.FalseKeyword && !ts.isLiteralTypeNode(node.parent))
      add('boolean', node, 'true');
    else if (ts.isExpressionStatement(node)) ofStatement(node);
    else if (ts.isStringLiteral(node) && REASON.test(node.text)) add('reason', node, `'mutated'`);
    else if (ts.isPropertyAccessExpression(node)) ofProperty(node);
    ts.forEachChild(node, visit);
  }

  function ofIf(node: ts.IfStatement): void {
    const leaves = node.elseStatement === undefined && endsHere(node.thenStatement);
    add(leaves ? 'check' : 'condition', node.expression, 'false as boolean');
    add('condition', node.expression, 'true as boolean');
  }

  function ofBinary(node: ts.BinaryExpression): void {
    const { kind } = node.operatorToken;
    const opposite = OPPOSITE[kind];
    if (opposite !== undefined) add(opposite[1], node.operatorToken, opposite[0]);
    if (kind === ts.SyntaxKind.AmpersandAmpersandToken || kind === ts.SyntaxKind.BarBarToken) {
      add('check', node, `(${node.left.getText(file)})`);
      add('check', node, `(${node.right.getText(file)})`);
    }
    if (kind === ts.SyntaxKind.MinusToken) add('bound', node.operatorToken, '+');
  }

  function ofStatement(node: ts.ExpressionStatement): void {
    const inner =
      ts.isAwaitExpression(node.expression) || ts.isVoidExpression(node.expression)
        ? node.expression.expression
        : node.expression;
    if (ts.isCallExpression(inner) && inner.expression.kind !== ts.SyntaxKind.SuperKeyword) add('call', node, ';');
    else if (ts.isBinaryExpression(inner) && inner.operatorToken.kind === ts.SyntaxKind.EqualsToken)
      add('assignment', node, ';');
    else if (ts.isPostfixUnaryExpression(inner) || ts.isBinaryExpression(inner)) add('assignment', node, ';');
  }

  function ofProperty(node: ts.PropertyAccessExpression): void {
    if (!ts.isIdentifier(node.expression) || node.expression.text !== 'Math') return;
    if (node.name.text === 'min') add('bound', node.name, 'max');
    else if (node.name.text === 'max') add('bound', node.name, 'min');
  }

  visit(file);
  return found;
}

/** Types change nothing at run time; what an error says, and an assertion of a bug, is nobody's behaviour. */
function isLeftAlone(node: ts.Node): boolean {
  if (ts.isTypeNode(node) || ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node)) return true;
  if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node) || ts.isTemplateExpression(node)) return true;
  if (!ts.isExpressionStatement(node) || !ts.isCallExpression(node.expression)) return false;
  return ts.isIdentifier(node.expression.expression) && node.expression.expression.text === 'assert';
}

/** Whether a branch leaves what it stands in. */
function endsHere(branch: ts.Statement): boolean {
  const last = ts.isBlock(branch) ? branch.statements.at(-1) : branch;
  return (
    last !== undefined &&
    (ts.isReturnStatement(last) ||
      ts.isThrowStatement(last) ||
      ts.isContinueStatement(last) ||
      ts.isBreakStatement(last))
  );
}

function otherNumber(node: ts.NumericLiteral): string {
  const value = Number(node.text);
  return String(value >= 10 ? value * 10 : value + 1);
}
