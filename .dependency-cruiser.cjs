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
    {
      name: 'web-imports-shared-only',
      severity: 'error',
      from: { path: '^web/', pathNot: '\\.test\\.tsx?$' },
      to: { path: '^(server|test)/' },
    },
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
      // A study reads its questions' contents and `data` reads data sets in programs that train nothing.
      name: 'data-without-batches-needs-no-tfjs',
      severity: 'error',
      from: { path: '^server/trainer/data/', pathNot: '/batch\\.ts$|\\.test\\.ts$' },
      to: { path: 'node_modules/(@tensorflow|webgpu)/', reachable: true },
    },
    {
      name: 'a-model-family-imports-no-other-family',
      severity: 'error',
      from: { path: '^server/trainer/models/([^/]+)/', pathNot: '^server/trainer/models/layers/' },
      to: { path: '^server/trainer/models/[^/]+/', pathNot: '^server/trainer/models/($1|layers)/' },
    },
    {
      name: 'shared-layers-know-no-family',
      severity: 'error',
      from: { path: '^server/trainer/models/layers/', pathNot: '\\.test\\.ts$' },
      to: { path: '^server/trainer/models/[^/]+/', pathNot: '^server/trainer/models/layers/' },
    },
    {
      name: 'the-hub-knows-of-the-trainer-its-data-only',
      severity: 'error',
      from: { path: '^server/(?!trainer/)', pathNot: '\\.test\\.ts$' },
      to: { path: '^server/trainer/(?!data/)' },
    },
    {
      // What the built-in trainer can be told is no part of the protocol; its run configuration still stands in run.ts.
      name: 'the-protocol-knows-no-built-in-trainer',
      severity: 'error',
      from: { path: '^shared/', pathNot: '^shared/(built-in/|run\\.ts)|\\.test\\.ts$' },
      to: { path: '^shared/built-in/' },
    },
    {
      // What prepares an InfluxDB server for one is no store.
      name: 'only-programs-choose-a-concrete-store',
      severity: 'error',
      from: {
        path: '^server/',
        pathNot: '^server/(main\\.ts|cli/(delete|findings|transfer|backup|repair)\\.ts|store/)|\\.test\\.ts$',
      },
      to: { path: '^server/store/(?!event-store|protocol-1|influx-setup)' },
    },
    {
      name: 'transfer-knows-the-store-interface-only',
      severity: 'error',
      from: { path: '^server/transfer/', pathNot: '\\.test\\.ts$' },
      to: {
        path: '^server/(?!transfer/|turn\\.ts|usage-error\\.ts|store/(event-store|protocol-1)|run/(declared-series|read-events))',
      },
    },
    {
      name: 'run-knows-no-transport',
      severity: 'error',
      from: { path: '^server/(run|store|analysis|transfer)/', pathNot: '\\.test\\.ts$' },
      to: { path: '^server/(http|socket|operations)/' },
    },
    {
      // What is measured and logged does not know that it is.
      name: 'only-main-and-the-command-line-know-operations',
      severity: 'error',
      from: { path: '^server/', pathNot: '^server/(main\\.ts|cli/|operations/)|\\.test\\.ts$' },
      to: { path: '^server/operations/' },
    },
    {
      name: 'operations-listen-to-the-hub-and-serve-nothing',
      severity: 'error',
      from: { path: '^server/operations/', pathNot: '\\.test\\.ts$' },
      to: { path: '^server/(http|trainer|analysis|prepare)/' },
    },
    {
      name: 'nothing-imports-the-command-line',
      severity: 'error',
      from: { path: '^(server|shared|web)/', pathNot: '^server/(cli/|cli\\.ts)' },
      to: { path: '^server/cli/' },
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
    // Our own build outputs; packages have theirs in such folders too, and rules speak of packages.
    exclude: { path: '^(shared|server|web|test)/(dist|\\.next|out)/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.base.json' },
  },
};
