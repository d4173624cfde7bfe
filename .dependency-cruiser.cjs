/** The import rules of the design: what may know of what. */
module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'shared-imports-nothing-of-ours',
      severity: 'error',
      from: { path: '^shared/' },
      to: { path: '^(server|web|test)/' },
    },
    { name: 'web-imports-shared-only', severity: 'error', from: { path: '^web/' }, to: { path: '^(server|test)/' } },
    {
      name: 'trainer-imports-shared-only',
      severity: 'error',
      from: { path: '^server/trainer/' },
      to: { path: '^server/(?!trainer/|dist/)' },
    },
    {
      name: 'only-the-trainer-knows-tfjs',
      severity: 'error',
      from: { pathNot: '^server/trainer/' },
      to: { path: 'node_modules/(@tensorflow|webgpu)/' },
    },
    {
      name: 'only-main-names-a-concrete-store',
      severity: 'error',
      from: { path: '^server/', pathNot: '^server/(main\\.ts|store/)|\\.test\\.ts$' },
      to: { path: '^server/store/(?!event-store)' },
    },
    {
      name: 'run-knows-no-transport',
      severity: 'error',
      from: { path: '^server/(run|store|analysis)/', pathNot: '\\.test\\.ts$' },
      to: { path: '^server/(http|socket)/' },
    },
    {
      name: 'analysis-imports-shared-only',
      severity: 'error',
      from: { path: '^server/analysis/' },
      to: { path: '^server/(?!analysis/)' },
    },
    {
      name: 'charts-know-no-socket-and-no-feature',
      severity: 'error',
      from: { path: '^web/charts/' },
      to: { path: '^web/(features|app)/|socket' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^|/)(dist|\\.next|out)/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.base.json' },
  },
};
