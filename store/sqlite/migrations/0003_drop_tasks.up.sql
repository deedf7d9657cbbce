-- The rows were copied when taskrunner_tasks and taskrunner_finished were made.
DROP TABLE counts;
DROP TABLE attempts;
DROP TABLE tasks;
