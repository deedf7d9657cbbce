// A client made from tasks.proto alone: what it needs besides is gRPC for Node, and certificates.
//
//   TOKEN=… node tasks.js HOST:PORT FOLDER    the folder has ca.pem, client.pem and client-key.pem
'use strict'

const { randomUUID } = require('node:crypto')
const { readFileSync } = require('node:fs')
const { join } = require('node:path')
const { promisify } = require('node:util')
const grpc = require('@grpc/grpc-js')
const protoLoader = require('@grpc/proto-loader')

const protos = ['../../../remote/remotepb/tasks.proto', 'status.proto'].map((name) => join(__dirname, name))
const definition = protoLoader.loadSync(protos, { keepCase: true, longs: String, enums: String, defaults: true })
const { Tasks } = grpc.loadPackageDefinition(definition).taskrunner.remote.v1

// The client shows its certificate, and with each call its token.
function connect(address, folder, token) {
  const file = (name) => readFileSync(join(folder, name))
  const channel = grpc.credentials.createSsl(file('ca.pem'), file('client-key.pem'), file('client.pem'))
  const bearer = grpc.credentials.createFromMetadataGenerator((_, done) => {
    const metadata = new grpc.Metadata()
    metadata.set('authorization', `Bearer ${token}`)
    done(null, metadata)
  })
  return new Tasks(address, grpc.credentials.combineChannelCredentials(channel, bearer))
}

// Behind the code of an error, its details have one of our own, of which there are more.
function refused(error) {
  const [bytes] = error.metadata.get('grpc-status-details-bin')
  const { details } = definition['google.rpc.Status'].deserialize(bytes)
  return definition['taskrunner.remote.v1.Refused'].deserialize(details[0].value)
}

async function main(address, folder) {
  const tasks = connect(address, folder, process.env.TOKEN)
  const call = (method, request) => promisify(tasks[method]).call(tasks, { runner: 'worker', ...request }, { deadline: Date.now() + 30_000 })

  // With an id of one's own a request may be sent again, for example when the connection is lost: it is accepted once.
  const task_id = randomUUID()
  const shout = { kind: 'shout', args: JSON.stringify('moved'), task_id }
  await call('Run', shout)
  console.log('sent again, there already:', (await call('Run', shout)).existed)
  const { outcome } = await call('Await', { task_id })
  console.log('awaited:', outcome.state, JSON.parse(outcome.result))

  // What a subscriber has not acknowledged comes again when it comes back.
  const outcomes = tasks.Watch({ runner: 'worker', subscriber: 'node-example' })
  for await (const { outcome } of outcomes) {
    await call('Acknowledge', { subscriber: 'node-example', cursor: outcome.cursor })
    if (outcome.task_id !== task_id) continue
    console.log('watched and acknowledged:', outcome.state, JSON.parse(outcome.result))
    break
  }
  outcomes.cancel()

  const slow = await call('Run', { kind: 'sleep', args: '"1h"' })
  await call('Cancel', { task_id: slow.task_id })
  console.log('cancelled:', (await call('Await', { task_id: slow.task_id })).outcome.state)

  const failed = await call('Run', { kind: 'fail', args: '"no such file"' })
  const why = (await call('Await', { task_id: failed.task_id })).outcome
  console.log('failed:', why.state, why.error)

  await call('Cancel', { task_id }).catch((error) => {
    const { code, state } = refused(error)
    console.log('refused:', grpc.status[error.code], code, state)
  })
  tasks.close()
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(error.message)
  process.exitCode = 1
})
