DROP TABLE taskrunner_subscribers;
