# What a scenario is played with: the recorder, children, supervisors, clients and tasks.

defmodule Recorder do
  @moduledoc "Takes down what happens, in order. All speak to it by calls, so that what caused something stands before it."
  use GenServer

  def start, do: elem(GenServer.start(__MODULE__, nil), 1)
  def event(r, text), do: GenServer.call(r, {:event, text})
  def up(r, name, pid), do: GenServer.call(r, {:up, name, pid})
  def count(r, name), do: GenServer.call(r, {:count, name})
  def heal(r, name), do: GenServer.call(r, {:heal, name})
  def healed?(r, name), do: GenServer.call(r, {:healed, name})
  def pid(r, name), do: GenServer.call(r, {:pid, name})
  def name(r, pid), do: GenServer.call(r, {:name, pid})
  def living(r), do: GenServer.call(r, :living)
  def mark(r), do: GenServer.call(r, :mark)
  def take(r), do: GenServer.call(r, :take)

  def init(_), do: {:ok, %{events: [], downs: [], mark: 0, pids: %{}, names: %{}, starts: %{}, healed: []}}

  def handle_call({:event, text}, _, s), do: {:reply, :ok, %{s | events: [text | s.events], mark: s.mark + 1}}

  def handle_call({:up, name, pid}, _, s) do
    Process.monitor(pid)
    {:reply, :ok, %{s | pids: Map.put(s.pids, name, pid), names: Map.put(s.names, pid, name), mark: s.mark + 1}}
  end

  def handle_call({:count, name}, _, s) do
    n = Map.get(s.starts, name, 0) + 1
    {:reply, n, %{s | starts: Map.put(s.starts, name, n)}}
  end

  def handle_call({:heal, name}, _, s), do: {:reply, :ok, %{s | healed: [name | s.healed]}}
  def handle_call({:healed, name}, _, s), do: {:reply, name in s.healed, s}
  def handle_call({:pid, name}, _, s), do: {:reply, Map.fetch!(s.pids, name), s}
  def handle_call({:name, pid}, _, s), do: {:reply, Map.get(s.names, pid, "?"), s}
  def handle_call(:living, _, s), do: {:reply, for({_, pid} <- s.pids, Process.alive?(pid), do: pid), s}
  def handle_call(:mark, _, s), do: {:reply, s.mark, s}

  def handle_call(:take, _, s) do
    {:reply, {Enum.reverse(s.events), Enum.sort(s.downs)}, %{s | events: [], downs: []}}
  end

  def handle_info({:DOWN, _, _, pid, reason}, s) do
    {:noreply, %{s | downs: ["down #{s.names[pid]} #{Reason.show(reason)}" | s.downs], mark: s.mark + 1}}
  end
end

defmodule Child do
  @moduledoc "A GenServer that does what its options say, and writes down its start and its terminate."
  use GenServer

  def spec(node, r) do
    o = node.options

    spec = %{id: node.name, start: {__MODULE__, :start_link, [node, r]}}
    spec = put(spec, :restart, o["restart"], &String.to_atom/1)
    spec = put(spec, :shutdown, o["shutdown"], &shutdown/1)
    put(spec, :significant, o["significant"], &(&1 == "yes"))
  end

  def put(map, _, nil, _), do: map
  def put(map, key, text, convert), do: Map.put(map, key, convert.(text))

  def shutdown(word) when word in ["infinity", "brutal_kill"], do: String.to_atom(word)
  def shutdown(ms), do: String.to_integer(ms)

  def start_link(node, r), do: GenServer.start_link(__MODULE__, {node, r})

  @doc "For a partition supervisor: the name with the number of the partition."
  def start_partition(node, r, i), do: start_link(%{node | name: "#{node.name}#{i}"}, r)

  def init({node, r}) do
    n = Recorder.count(r, node.name)
    if node.options["traps"] != "no", do: Process.flag(:trap_exit, true)

    cond do
      refuses?(node, n) and not Recorder.healed?(r, node.name) -> refuse(node, r, n)
      n in numbers(node, "fail") -> failed(node, r, {:stop, :boom})
      n in numbers(node, "raise") -> raise(failed(node, r, "boom"))
      n in numbers(node, "ignore") -> ignored(node, r)
      true -> started(node, r)
    end
  end

  defp numbers(node, option) do
    for n <- String.split(node.options[option] || "", ",", trim: true), do: String.to_integer(n)
  end

  defp refuses?(node, n), do: node.options["refuse"] != nil and n >= String.to_integer(node.options["refuse"])

  defp refuse(node, r, n) do
    if n == String.to_integer(node.options["refuse"]), do: Recorder.event(r, "start_failed #{node.name}")
    Process.sleep(5)
    {:stop, :boom}
  end

  defp failed(node, r, answer) do
    Recorder.event(r, "start_failed #{node.name}")
    answer
  end

  defp ignored(node, r) do
    Recorder.event(r, "start_ignored #{node.name}")
    :ignore
  end

  defp started(node, r) do
    Recorder.event(r, "start #{node.name}")
    Recorder.up(r, node.name, self())
    if node.options["continue"] == "yes", do: {:ok, {node, r, nil}, {:continue, :first}}, else: {:ok, {node, r, nil}}
  end

  def handle_continue(what, {node, r, _} = s) do
    Recorder.event(r, "continue #{node.name} #{what}")
    if what == :first, do: {:noreply, s, {:continue, :second}}, else: {:noreply, s}
  end

  def handle_cast({:exit, "raise"}, _), do: raise("boom")
  def handle_cast({:exit, reason}, s), do: {:stop, Reason.parse(reason), s}

  def handle_cast({:note, i}, {node, r, _} = s) do
    Recorder.event(r, "note #{node.name} #{i}")
    {:noreply, s}
  end

  def handle_cast({:busy, ms}, s) do
    Process.sleep(ms)
    {:noreply, s}
  end

  def handle_call("ping", _, s), do: {:reply, "pong", s}
  def handle_call("boom", _, s), do: {:stop, :boom, s}
  def handle_call("raise", _, _), do: raise("boom")
  def handle_call("stop", _, s), do: {:stop, :normal, "bye", s}
  def handle_call("stop_silently", _, s), do: {:stop, :shutdown, s}
  def handle_call("continue", _, s), do: {:reply, "soon", s, {:continue, :second}}
  def handle_call("timeout", _, s), do: {:reply, "armed", s, 2000}

  def handle_call("later", from, {node, r, _}) do
    send(self(), :answer)
    {:noreply, {node, r, from}}
  end

  def handle_call({:run, function}, _, s), do: {:reply, function.(), s}

  def handle_call({:link, pid}, _, s) do
    Process.link(pid)
    {:reply, "ok", s}
  end

  def handle_call({:monitor, pid}, _, s) do
    Process.monitor(pid)
    {:reply, "ok", s}
  end

  def handle_call("unlink", _, s) do
    Process.unlink(hd(Process.get(:"$ancestors")))
    {:reply, "unlinked", s}
  end

  def handle_call("self", _, s) do
    GenServer.call(self(), "ping")
    {:reply, "pong", s}
  catch
    :exit, reason -> {:reply, "exit #{Reason.show(reason)}", s}
  end

  def handle_info(:answer, {node, r, from}) do
    GenServer.reply(from, "later")
    {:noreply, {node, r, nil}}
  end

  def handle_info(message, {node, r, _} = s) do
    Recorder.event(r, "info #{node.name} #{info(message)}")
    {:noreply, s}
  end

  defp info({:EXIT, _, reason}), do: "exit #{Reason.show(reason)}"
  defp info({ref, value}) when is_reference(ref), do: "reply #{value}"
  defp info({:DOWN, _, _, _, reason}), do: "down #{Reason.show(reason)}"
  defp info(message), do: to_string(message)

  def terminate(reason, {node, r, _}) do
    Recorder.event(r, "terminate #{node.name} #{Reason.show(reason)}")
    if node.options["stubborn"] == "yes", do: Process.sleep(:infinity)

    if ms = node.options["slow"] do
      Process.sleep(String.to_integer(ms))
      Recorder.event(r, "terminated #{node.name}")
    end

    if node.options["terminate"] == "raise", do: raise("in terminate")
  end
end

defmodule Sup do
  @moduledoc "The supervisors of all kinds."

  def spec(%{kind: "child"} = node, r), do: Child.spec(node, r)

  def spec(node, r) do
    %{Child.spec(node, r) | start: {__MODULE__, :start_link, [node, r]}} |> Map.put(:type, :supervisor)
  end

  def start_link(node, r) do
    Recorder.event(r, "start #{node.name}")

    case start(node, r) do
      {:ok, pid} ->
        Recorder.up(r, node.name, pid)
        {:ok, pid}

      :ignore ->
        Recorder.event(r, "start_ignored #{node.name}")
        :ignore

      error ->
        Recorder.event(r, "start_failed #{node.name}")
        error
    end
  end

  # The flags go to OTP as they are: Elixir 1.14's Supervisor.init does not know auto_shutdown.
  defp start(%{kind: "supervisor"} = node, r) do
    flags = %{strategy: String.to_atom(node.strategy), intensity: 3, period: 5}
    flags = Child.put(flags, :intensity, node.options["max_restarts"], &String.to_integer/1)
    flags = Child.put(flags, :period, node.options["max_seconds"], &String.to_integer/1)
    flags = Child.put(flags, :auto_shutdown, node.options["auto_shutdown"], &String.to_atom/1)
    answer = {:ok, {flags, Enum.map(node.children, &spec(&1, r))}}
    Supervisor.start_link(__MODULE__, if(node.options["ignore"] == "yes", do: :ignore, else: answer))
  end

  defp start(%{kind: "dynamic"} = node, _), do: DynamicSupervisor.start_link([strategy: :one_for_one] ++ limits(node))
  defp start(%{kind: "tasks"} = node, _), do: Task.Supervisor.start_link(limits(node))

  defp start(%{kind: "partition", children: [child]} = node, r) do
    PartitionSupervisor.start_link(
      [
        name: :"#{node.name}#{System.unique_integer([:positive])}",
        partitions: String.to_integer(node.options["partitions"]),
        child_spec: %{Child.spec(child, r) | start: {Child, :start_partition, [child, r]}},
        with_arguments: fn args, i -> args ++ [i] end
      ] ++ limits(node)
    )
  end

  defp limits(node) do
    for key <- ~w(max_children max_restarts max_seconds), text = node.options[key] do
      {String.to_atom(key), String.to_integer(text)}
    end
  end

  def init(answer), do: answer
end

defmodule Client do
  @moduledoc "A process that starts trees and tasks, and waits for them: it does what it is told. What else it gets, it keeps."

  def start(node, r) do
    pid = spawn(fn -> init(node) end)
    Recorder.up(r, node.name, pid)
  end

  def run(pid, function) do
    ref = Process.monitor(pid)
    send(pid, {:run, self(), ref, function})

    receive do
      {^ref, answer} ->
        Process.demonitor(ref, [:flush])
        answer

      {:DOWN, ^ref, _, _, reason} ->
        "exit #{Reason.show(reason)}"
    end
  end

  defp init(node) do
    if node.options["traps"] != "no", do: Process.flag(:trap_exit, true)
    loop()
  end

  defp loop do
    receive do
      {:run, from, ref, function} -> send(from, {ref, function.()})
      {:"$gen_cast", {:exit, reason}} -> exit(Reason.parse(reason))
    end

    loop()
  end
end

defmodule Tasks do
  @moduledoc "What a task does, and what those who wait for it get."

  def body(r, name, words, before \\ fn -> :ok end) do
    fn ->
      if hd(words) in ["trap_block", "stubborn"], do: Process.flag(:trap_exit, true)
      Recorder.event(r, "start #{name}")
      Recorder.up(r, name, self())
      before.()
      run(words)
    end
  end

  defp run(["value", value]), do: value
  defp run(["raise"]), do: raise("boom")
  defp run(["exit", reason]), do: exit(Reason.parse(reason))
  defp run(["block"]), do: Process.sleep(:infinity)
  defp run(["stubborn"]), do: Process.sleep(:infinity)
  defp run(["trap_block", value]), do: receive(do: ({:EXIT, _, _} -> value))

  defp run(["hold" | words]), do: receive(do: (:release -> run(words)))

  @doc "An element of a stream, RESULT@MS: a value, or boom, after that time."
  def element(text) do
    [result, ms] = String.split(text, "@")
    Process.sleep(String.to_integer(ms))
    if result == "boom", do: exit(:boom), else: result
  end

  def stream_option(["max_concurrency", n]), do: {:max_concurrency, String.to_integer(n)}
  def stream_option(["timeout", ms]), do: {:timeout, String.to_integer(ms)}
  def stream_option(["ordered", "no"]), do: {:ordered, false}
  def stream_option(["on_timeout", action]), do: {:on_timeout, String.to_atom(action)}
  def stream_option(["zip_input_on_exit", "yes"]), do: {:zip_input_on_exit, true}

  def show({:ok, value}), do: "value #{value}"
  def show({:exit, {input, reason}}) when is_binary(input), do: "exit #{input} #{Reason.show(reason)}"
  def show({:exit, reason}), do: "exit #{Reason.show(reason)}"
  def show(nil), do: "nil"
end
