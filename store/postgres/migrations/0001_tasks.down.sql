DROP TABLE {schema}.identity, {schema}.nodes, {schema}.expired, {schema}.counts, {schema}.attempts, {schema}.finished, {schema}.tasks, {schema}.bundles;
DROP SEQUENCE {schema}.positions, {schema}.seqs;
