// Small faults, put into a source file one at a time. Each is one edit of the text: { start, end, text, line, label }.
import ts from 'typescript';

const { SyntaxKind } = ts;

/** What each operator is swapped for. */
const OPERATORS = new Map([
  [SyntaxKind.LessThanToken, ['<=', '>=']],
  [SyntaxKind.LessThanEqualsToken, ['<', '>']],
  [SyntaxKind.GreaterThanToken, ['>=', '<=']],
  [SyntaxKind.GreaterThanEqualsToken, ['>', '<']],
  [SyntaxKind.EqualsEqualsEqualsToken, ['!==']],
  [SyntaxKind.ExclamationEqualsEqualsToken, ['===']],
  [SyntaxKind.PlusToken, ['-']],
  [SyntaxKind.MinusToken, ['+']],
  [SyntaxKind.AsteriskToken, ['/']],
  [SyntaxKind.SlashToken, ['*']],
  [SyntaxKind.PercentToken, ['*']],
  [SyntaxKind.AsteriskAsteriskToken, ['*']],
  [SyntaxKind.PlusEqualsToken, ['-=']],
  [SyntaxKind.MinusEqualsToken, ['+=']],
  [SyntaxKind.AmpersandAmpersandToken, ['||']],
  [SyntaxKind.BarBarToken, ['&&']],
  [SyntaxKind.QuestionQuestionToken, ['&&']],
]);

const METHODS = new Map([
  ['min', 'max'],
  ['max', 'min'],
  ['some', 'every'],
  ['every', 'some'],
  ['ceil', 'floor'],
  ['floor', 'ceil'],
]);

/** Words that types spell out: each is swapped for the next of its union, as a state is mistaken for another. */
export function siblingWords(texts) {
  const next = new Map();
  const visit = (node) => {
    if (ts.isUnionTypeNode(node)) {
      const words = node.types
        .filter((type) => ts.isLiteralTypeNode(type) && ts.isStringLiteral(type.literal))
        .map((type) => type.literal.text);
      words.forEach((word, index) => next.set(word, words[(index + 1) % words.length]));
    }
    ts.forEachChild(node, visit);
  };
  for (const text of texts) visit(ts.createSourceFile('words.ts', text, ts.ScriptTarget.Latest, true));
  return next;
}

export function mutantsOf(path, text, words) {
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const mutants = [];
  const add = (node, replacement) => {
    const start = node.getStart(file);
    const original = text.slice(start, node.end);
    const line = file.getLineAndCharacterOfPosition(start).line + 1;
    const label = `${shorten(original)} -> ${shorten(replacement) || '(removed)'}`;
    mutants.push({ path, start, end: node.end, text: replacement, line, label });
  };
  const visit = (node) => {
    if (ts.isTypeNode(node) || ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node)) return;
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) return;
    for (const [target, replacement] of editsOf(node, words)) add(target, replacement);
    ts.forEachChild(node, visit);
  };
  visit(file);
  return mutants;
}

function shorten(code) {
  const line = code.replace(/\s+/g, ' ');
  return line.length > 50 ? `${line.slice(0, 47)}...` : line;
}

function* editsOf(node, words) {
  if (ts.isBinaryExpression(node)) {
    if (joinsText(node)) return;
    for (const operator of OPERATORS.get(node.operatorToken.kind) ?? []) yield [node.operatorToken, operator];
  } else if (node.kind === SyntaxKind.TrueKeyword) {
    yield [node, 'false'];
  } else if (node.kind === SyntaxKind.FalseKeyword) {
    yield [node, 'true'];
  } else if (ts.isPrefixUnaryExpression(node)) {
    yield* unaryEdits(node);
  } else if (ts.isStringLiteral(node)) {
    if (words.has(node.text) && isValue(node)) yield [node, `'${words.get(node.text)}'`];
  } else if (ts.isIfStatement(node) || ts.isWhileStatement(node)) {
    if (ts.isIfStatement(node)) yield [node.expression, 'true'];
    yield [node.expression, 'false'];
  } else if (ts.isConditionalExpression(node)) {
    yield [node.condition, 'true'];
    yield [node.condition, 'false'];
  } else if (ts.isPropertyAccessExpression(node) && ts.isCallExpression(node.parent)) {
    if (METHODS.has(node.name.text)) yield [node.name, METHODS.get(node.name.text)];
  } else {
    yield* removals(node);
  }
}

function joinsText(node) {
  return (
    node.operatorToken.kind === SyntaxKind.PlusToken && [node.left, node.right].some(ts.isStringLiteralLike)
  );
}

function* unaryEdits(node) {
  const operand = node.operand.getText();
  if (node.operator === SyntaxKind.ExclamationToken || node.operator === SyntaxKind.MinusToken)
    yield [node, operand];
  if (node.operator === SyntaxKind.PlusPlusToken) yield [node, `--${operand}`];
  if (node.operator === SyntaxKind.MinusMinusToken) yield [node, `++${operand}`];
}

function isValue(literal) {
  return !ts.isPropertyAssignment(literal.parent) || literal.parent.initializer === literal;
}

function* removals(node) {
  if (ts.isExpressionStatement(node) || ts.isThrowStatement(node) || ts.isBreakOrContinueStatement(node)) {
    yield [node, ';'];
  } else if (ts.isReturnStatement(node) && !ts.isIfStatement(node.parent)) {
    yield [node, ';'];
  }
}
