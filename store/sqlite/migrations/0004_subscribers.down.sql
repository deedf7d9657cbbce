DROP TABLE taskrunner_identity;

DROP TABLE taskrunner_subscribers;
