# The steps of a scenario, each by the function of OTP that it stands for.

defmodule Steps do
  @moduledoc "Each step as a function; the answer is the result, or nil for a step that has none."

  def run(s, text) when is_binary(text), do: run(s, String.split(text))

  def run(s, ["start"]) do
    Enum.find_value(s.trees, fn tree ->
      if tree.kind != "client", do: in_client(s, "me", fn -> Sup.start_link(tree, s.r) end)
    end)
  end

  def run(s, ["exit", name, reason]), do: none(GenServer.cast(pid(s, name), {:exit, reason}))
  def run(s, ["kill", name]), do: none(Process.exit(pid(s, name), :kill))
  def run(s, ["signal", name, reason]), do: none(Process.exit(pid(s, name), Reason.parse(reason)))
  def run(s, ["send", name, text]), do: none(send(pid(s, name), text))
  def run(s, ["note", name, i]), do: none(GenServer.cast(pid(s, name), {:note, i}))
  def run(s, ["busy", name, ms]), do: none(GenServer.cast(pid(s, name), {:busy, String.to_integer(ms)}))
  def run(s, ["heal", name]), do: none(Recorder.heal(s.r, name))
  def run(_, ["wait", ms]), do: none(Process.sleep(String.to_integer(ms)))
  def run(s, ["stop", name]), do: run(s, ["stop", name, "shutdown"])
  def run(s, ["stop", name, reason]), do: safely(fn -> GenServer.stop(pid(s, name), Reason.parse(reason)) end)
  def run(s, ["call", name, request]), do: safely(fn -> GenServer.call(pid(s, name), request) end)
  def run(s, ["link", name, to]), do: safely(fn -> GenServer.call(pid(s, name), {:link, pid(s, to)}) end)
  def run(s, ["monitor", name, to]), do: safely(fn -> GenServer.call(pid(s, name), {:monitor, pid(s, to)}) end)
  def run(s, ["alive", name]), do: if(Process.alive?(pid(s, name)), do: "yes", else: "no")

  def run(s, ["start_child", sup | [name | words]]) do
    spec = Child.spec(Scenarios.node("child", [name | words]), s.r)

    safely(fn ->
      case kind(s, sup) do
        "supervisor" -> Supervisor.start_child(pid(s, sup), spec)
        _ -> DynamicSupervisor.start_child(pid(s, sup), spec)
      end
    end)
  end

  def run(s, ["terminate_child", sup, name]) do
    safely(fn ->
      case kind(s, sup) do
        "supervisor" -> Supervisor.terminate_child(pid(s, sup), name)
        _ -> DynamicSupervisor.terminate_child(pid(s, sup), pid(s, name))
      end
    end)
  end

  def run(s, ["restart_child", sup, name]), do: safely(fn -> Supervisor.restart_child(pid(s, sup), name) end)
  def run(s, ["delete_child", sup, name]), do: safely(fn -> Supervisor.delete_child(pid(s, sup), name) end)

  def run(s, ["which_children", sup]) do
    children = for {id, pid, type, _} <- Supervisor.which_children(pid(s, sup)), do: child(s, id, pid, type)
    children = if kind(s, sup) == "supervisor", do: children, else: Enum.sort(children)
    Enum.join(["children" | children], " ")
  end

  def run(s, ["count_children", sup]) do
    c = Supervisor.count_children(pid(s, sup))
    "specs #{c.specs} active #{c.active} supervisors #{c.supervisors} workers #{c.workers}"
  end

  def run(s, ["route", sup, key]) do
    {:registered_name, name} = Process.info(pid(s, sup), :registered_name)
    Recorder.name(s.r, GenServer.whereis({:via, PartitionSupervisor, {name, String.to_integer(key)}}))
  end

  def run(s, ["release", task, ms]), do: none(Process.send_after(pid(s, task), :release, String.to_integer(ms)))

  def run(s, ["async", task, owner, "-" | body]), do: begin(s, task, owner, &Task.async(&1), body)

  def run(s, ["async", task, owner, sup | body]) do
    sup = pid(s, sup)
    begin(s, task, owner, &Task.Supervisor.async(sup, &1), body)
  end

  def run(s, ["async_nolink", task, owner, sup | body]) do
    sup = pid(s, sup)
    begin(s, task, owner, &Task.Supervisor.async_nolink(sup, &1), body)
  end

  def run(s, ["start_task", task, sup, option | body]) do
    safely(fn ->
      Task.Supervisor.start_child(pid(s, sup), Tasks.body(s.r, task, body), restart: String.to_atom(option))
    end)
  end

  def run(s, ["await", task, owner, ms]) do
    within(s, task, owner, fn t -> {:ok, Task.await(t, String.to_integer(ms))} end)
  end

  def run(s, ["yield", task, owner, ms]), do: within(s, task, owner, &Task.yield(&1, String.to_integer(ms)))
  def run(s, ["shutdown", task, owner, ms]), do: within(s, task, owner, &Task.shutdown(&1, Child.shutdown(ms)))
  def run(s, ["ignore", task, owner]), do: within(s, task, owner, &Task.ignore(&1))

  def run(s, ["await_many", owner, ms | names]) do
    many(s, owner, names, fn tasks -> for v <- Task.await_many(tasks, String.to_integer(ms)), do: {:ok, v} end)
  end

  def run(s, ["yield_many", owner, ms | names]) do
    many(s, owner, names, fn tasks -> for {_, v} <- Task.yield_many(tasks, String.to_integer(ms)), do: v end)
  end

  def run(s, ["stream", owner, sup, link | words]) do
    {options, elements} = Enum.split_with(words, &String.contains?(&1, "="))
    options = for o <- options, do: Tasks.stream_option(String.split(o, "="))
    sup = pid(s, sup)

    in_client(s, owner, fn ->
      stream =
        case link do
          "linked" -> Task.Supervisor.async_stream(sup, elements, &Tasks.element/1, options)
          "nolink" -> Task.Supervisor.async_stream_nolink(sup, elements, &Tasks.element/1, options)
        end

      Enum.map_join(stream, " ", &Tasks.show/1)
    end)
  end

  defp many(s, owner, names, wait) do
    in_client(s, owner, fn ->
      wait.(for n <- names, do: Process.get({:task, n})) |> Enum.map_join(" ", &Tasks.show/1)
    end)
  end

  defp begin(s, task, owner, start, body) do
    body = Tasks.body(s.r, task, body, fn -> receive(do: (:go -> :ok)) end)
    player = self()

    answer =
      in_client(s, owner, fn ->
        started = start.(body)
        Process.put({:task, task}, started)
        send(player, {:started, started.pid})
        "ok"
      end)

    # Only now: a task that fails at once could take its owner along before that has answered.
    if answer == "ok", do: receive(do: ({:started, pid} -> send(pid, :go)))
    answer
  end

  defp within(s, task, owner, wait), do: in_client(s, owner, fn -> Tasks.show(wait.(Process.get({:task, task}))) end)

  # The owner of a task may be a child as well, which writes down what messages it gets.
  defp in_client(s, owner, function) do
    function = fn -> safely(function) end

    case s.kinds[owner] do
      "child" -> GenServer.call(pid(s, owner), {:run, function})
      _ -> Client.run(pid(s, owner), function)
    end
  end

  defp child(s, _, pid, type) when is_pid(pid), do: "#{Recorder.name(s.r, pid)}:pid:#{type}"
  defp child(_, id, state, type), do: "#{if(is_binary(id), do: id, else: "?")}:#{state}:#{type}"

  defp safely(function) do
    case function.() do
      :ok -> "ok"
      {:ok, :undefined} -> "ok undefined"
      {:ok, _pid} -> "ok"
      :ignore -> "ignore"
      {:error, reason} -> "error #{Reason.show(reason)}"
      text when is_binary(text) -> text
    end
  catch
    :exit, reason -> "exit #{Reason.show(reason)}"
  end

  defp none(_), do: nil
  defp pid(s, name), do: Recorder.pid(s.r, name)
  defp kind(s, name), do: Map.fetch!(s.kinds, name)
end
