#include "attune/search/Process.h"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace attune::search {

/// Longer lines are no part of any protocol.
constexpr size_t kLongestLine = 1 << 20;

llvm::Error Process::start(const Options &options) {
  // Everything is prepared before the fork: the child may only make system calls.
  std::vector<char *> words;
  for (const std::string &word : options.command)
    words.push_back(const_cast<char *>(word.c_str()));
  words.push_back(nullptr);
  int pair[2], pipe[2], log = -1;
  auto failure = [&](llvm::StringRef what) {
    return llvm::createStringError(what + ": " + std::strerror(errno));
  };
  if (!options.logFile.empty()) {
    log = ::open(options.logFile.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (log < 0)
      return failure("cannot write " + options.logFile);
  }
  // A socket, because writing to a child that is gone must be an error, not a signal.
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
    return failure("cannot make a socket");
  if (::pipe2(pipe, O_CLOEXEC) != 0) {
    ::close(pair[0]);
    ::close(pair[1]);
    return failure("cannot make a pipe");
  }
  pid_t parent = ::getpid();
  pid = ::fork();
  if (pid == 0) {
    ::setpgid(0, 0);
    // If the study is killed, so are its workers.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent)
      ::_exit(127);
    ::signal(SIGPIPE, SIG_DFL);
    ::signal(SIGINT, SIG_DFL);
    if (options.memory) {
      rlimit limit{options.memory, options.memory};
      ::setrlimit(RLIMIT_AS, &limit);
    }
    ::dup2(pair[1], 0);
    ::dup2(pipe[1], 1);
    if (log >= 0)
      ::dup2(log, 2);
    if (!options.folder.empty() && ::chdir(options.folder.c_str()) != 0)
      ::_exit(126);
    ::execvp(words[0], words.data());
    ::_exit(127);
  }
  ::close(pair[1]);
  ::close(pipe[1]);
  if (log >= 0)
    ::close(log);
  in = pair[0];
  out = pipe[0];
  buffer.clear();
  if (pid < 0) {
    llvm::Error error = failure("cannot start a process");
    kill();
    return error;
  }
  ::setpgid(pid, pid); // whoever of the two comes first
  ::fcntl(out, F_SETFL, O_NONBLOCK);
  return llvm::Error::success();
}

bool Process::send(llvm::StringRef line) {
  std::string text = (line + "\n").str();
  for (size_t done = 0; done < text.size();) {
    ssize_t written = ::send(in, text.data() + done, text.size() - done, MSG_NOSIGNAL);
    if (written < 0 && errno == EINTR)
      continue;
    if (written <= 0)
      return false;
    done += written;
  }
  return true;
}

bool Process::receive(std::vector<std::string> &lines) {
  char block[4096];
  bool open = true;
  while (true) {
    ssize_t count = ::read(out, block, sizeof block);
    if (count < 0 && errno == EINTR)
      continue;
    if (count <= 0) {
      open = count < 0 && errno == EAGAIN;
      break;
    }
    buffer.append(block, count);
    // The rest comes later; nobody may write so fast that this never ends.
    if (buffer.size() > kLongestLine) {
      open = buffer.find('\n') != std::string::npos;
      break;
    }
  }
  size_t end;
  while ((end = buffer.find('\n')) != std::string::npos) {
    lines.push_back(buffer.substr(0, end));
    buffer.erase(0, end + 1);
  }
  return open;
}

std::string Process::kill() {
  for (int *descriptor : {&in, &out}) {
    if (*descriptor >= 0)
      ::close(*descriptor);
    *descriptor = -1;
  }
  std::string how = "did not run";
  if (pid > 0) {
    // A child that is ending by itself gets a moment to do so, that its own code is known.
    int status = 0;
    pid_t ended = 0;
    for (int i = 0; i < 20 && ended == 0; ++i) {
      ended = ::waitpid(pid, &status, WNOHANG);
      if (ended == 0)
        std::this_thread::sleep_for(std::chrono::milliseconds(i < 10 ? 1 : 5));
    }
    ::kill(-pid, SIGKILL);
    if (ended == 0)
      while (::waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFSIGNALED(status))
      how = "was ended by signal " + std::to_string(WTERMSIG(status)) + " (" +
            ::strsignal(WTERMSIG(status)) + ")";
    else
      how = "ended with exit code " + std::to_string(WEXITSTATUS(status));
  }
  pid = -1;
  return how;
}

} // namespace attune::search
