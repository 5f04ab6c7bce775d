import js from '@eslint/js';
import tseslint from 'typescript-eslint';

const CORE_GLOBALS = [
  'process',
  'performance',
  'console',
  'fetch',
  'Buffer',
  'crypto',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'queueMicrotask',
  'globalThis',
];

/** Members of built-ins may be replaced in one file only, which knows how to put them back. */
const PATCHING = [
  "AssignmentExpression[left.object.name=/^(globalThis|global|process)$/]:not([left.property.name='exitCode'])",
  "AssignmentExpression[left.object.property.name='prototype']",
  ":matches(CallExpression[callee.object.name='Object'][callee.property.name=/^(defineProperty|defineProperties|assign|setPrototypeOf)$/], CallExpression[callee.object.name='Reflect'][callee.property.name=/^(defineProperty|set|setPrototypeOf|deleteProperty)$/]):matches([arguments.0.name=/^(globalThis|global|process)$/], [arguments.0.property.name='prototype'])",
  "UnaryExpression[operator='delete'][argument.object.name=/^(globalThis|global|process)$/]",
].map((selector) => ({
  selector,
  message: 'Only src/interceptors/patches.ts changes globals and prototypes of built-ins.',
}));

const CLOCK_AND_CHANCE = [
  {
    selector:
      ":matches(NewExpression[callee.name='Date'][arguments.length=0], CallExpression[callee.name='Date'])",
    message: 'core/ gets the time as an argument.',
  },
];

export default tseslint.config(
  { ignores: ['dist/', 'coverage/', '.tmp/', '**/*.d.ts'] },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: {
      parserOptions: {
        project: ['tsconfig.json', 'test/tsconfig.json'],
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      '@typescript-eslint/consistent-type-exports': 'error',
      '@typescript-eslint/consistent-type-imports': ['error', { disallowTypeAnnotations: false }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      // An interface's asynchronous method may be implemented by one that has nothing to wait for.
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
    },
  },
  {
    files: ['src/**/*.ts'],
    rules: {
      '@typescript-eslint/no-deprecated': 'error',
      '@typescript-eslint/no-import-type-side-effects': 'error',
      '@typescript-eslint/no-non-null-assertion': 'error',
      '@typescript-eslint/no-shadow': 'error',
      '@typescript-eslint/no-unnecessary-condition': [
        'error',
        { allowConstantLoopConditions: 'only-allowed-literals' },
      ],
      '@typescript-eslint/prefer-readonly': 'error',
      '@typescript-eslint/return-await': ['error', 'error-handling-correctness-only'],
      eqeqeq: 'error',
      'no-console': 'error',
      'no-restricted-syntax': ['error', ...PATCHING],
      'object-shorthand': 'error',
      'prefer-template': 'error',
    },
  },
  { files: ['src/cli/**/*.ts'], rules: { 'no-console': 'off' } },
  { files: ['src/interceptors/patches.ts'], rules: { 'no-restricted-syntax': 'off' } },
  {
    files: ['src/core/**/*.ts'],
    rules: {
      'no-restricted-globals': [
        'error',
        ...CORE_GLOBALS.map((name) => ({
          name,
          message: 'core/ is pure: it gets what it needs as an argument.',
        })),
      ],
      'no-restricted-imports': [
        'error',
        { patterns: [{ regex: '^[^.]', message: 'core/ imports nothing but core/.' }] },
      ],
      'no-restricted-properties': [
        'error',
        { object: 'Date', property: 'now', message: 'core/ gets the time as an argument.' },
        { object: 'Math', property: 'random', message: 'core/ gets chance as an argument.' },
      ],
      'no-restricted-syntax': ['error', ...PATCHING, ...CLOCK_AND_CHANCE],
    },
  },
  {
    files: ['test/**/*.ts', 'bench/**/*.ts'],
    rules: {
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      '@typescript-eslint/unbound-method': 'off',
    },
  },
  {
    files: ['**/*.{js,mjs,cjs}'],
    rules: {
      // Without types the linter does not know the globals of Node.
      'no-undef': 'off',
      'no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
    },
  },
);
