DROP TABLE counts;
DROP TABLE attempts;
DROP TABLE tasks;
