/** The public declarations, read from the built `.d.ts` files with the compiler API. */

import path from 'node:path';
import ts from 'typescript-6';
import { publicModules, root } from './public-modules.ts';

export interface PublicName {
  readonly name: string;
  readonly declarations: readonly ts.Declaration[];
}

export interface PublicDeclarations {
  /** What each public module exports, by specifier; names in alphabetical order. */
  readonly exported: ReadonlyMap<string, readonly PublicName[]>;
  /** What those mention without exporting it: part of the API all the same. */
  readonly mentioned: readonly PublicName[];
}

/** Reads dist/, which has to be built. */
export function readDeclarations(): PublicDeclarations {
  const modules = publicModules();
  const program = ts.createProgram({
    rootNames: modules.map(({ types }) => path.join(root, types)),
    options: {
      target: ts.ScriptTarget.ESNext,
      module: ts.ModuleKind.NodeNext,
      lib: ['lib.es2024.d.ts', 'lib.esnext.disposable.d.ts'],
      types: ['node'],
      allowImportingTsExtensions: true,
      noEmit: true,
      strict: true,
    },
    configFilePath: path.join(root, 'tsconfig.json'),
  } as ts.CreateProgramOptions);
  const checker = program.getTypeChecker();
  const seen = new Set<ts.Symbol>();
  const original = (symbol: ts.Symbol): ts.Symbol =>
    symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
  const declarationsOf = (symbol: ts.Symbol): readonly ts.Declaration[] => original(symbol).declarations ?? [];

  const exported = new Map<string, readonly PublicName[]>();
  for (const { specifier, types } of modules) {
    const file = program.getSourceFile(path.join(root, types));
    const symbol = file === undefined ? undefined : checker.getSymbolAtLocation(file);
    if (symbol === undefined) throw new Error(`Cannot read ${types}: not built, or it exports nothing`);
    const names = checker.getExportsOfModule(symbol).map((one) => {
      seen.add(original(one));
      return { name: one.name, declarations: declarationsOf(one) };
    });
    exported.set(specifier, names.toSorted(byName));
  }

  const mentioned: PublicName[] = [];
  const dist = path.join(root, 'dist') + path.sep;
  const visit = (node: ts.Node): void => {
    if (ts.isIdentifier(node)) {
      const found = checker.getSymbolAtLocation(node);
      if (found !== undefined) mention(original(found));
    }
    ts.forEachChild(node, visit);
  };
  const mention = (symbol: ts.Symbol): void => {
    const declarations = (symbol.declarations ?? []).filter(
      (one) => path.resolve(one.getSourceFile().fileName).startsWith(dist) && ts.isSourceFile(statementOf(one).parent),
    );
    if (isBrand(symbol)) return;
    if (seen.has(symbol) || declarations.length === 0 || declarations.some((one) => !isNamedStatement(one))) return;
    seen.add(symbol);
    mentioned.push({ name: symbol.name, declarations });
    for (const one of declarations) visit(statementOf(one));
  };
  for (const names of exported.values()) {
    for (const { declarations } of names) for (const one of declarations) visit(statementOf(one));
  }
  return { exported, mentioned: mentioned.toSorted(byName) };
}

/** The statement that a declaration is part of: `const` declares through two nodes more. */
export function statementOf(declaration: ts.Declaration): ts.Node {
  return ts.isVariableDeclaration(declaration) ? declaration.parent.parent : declaration;
}

const isNamedStatement = (node: ts.Node): boolean =>
  ts.isInterfaceDeclaration(node) ||
  ts.isTypeAliasDeclaration(node) ||
  ts.isClassDeclaration(node) ||
  ts.isFunctionDeclaration(node) ||
  ts.isVariableDeclaration(node);

/** Brands of types are private on purpose: nobody else can make such a value. */
const isBrand = ({ valueDeclaration }: ts.Symbol): boolean =>
  valueDeclaration !== undefined &&
  ts.isVariableDeclaration(valueDeclaration) &&
  valueDeclaration.type !== undefined &&
  ts.isTypeOperatorNode(valueDeclaration.type);

const byName = (a: PublicName, b: PublicName): number => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
