DROP TABLE taskrunner_pruned;
DROP TABLE taskrunner_attempts;
DROP TABLE taskrunner_finished;
DROP TABLE taskrunner_tasks;
DROP TABLE taskrunner_bundles;
DROP TABLE taskrunner_counts;
DROP TABLE taskrunner_kinds;
DROP TABLE taskrunner_meta;
ALTER TABLE taskrunner_migrations RENAME TO migrations;
